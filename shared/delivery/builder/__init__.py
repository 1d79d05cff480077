"""The medallion builder: a short specification in, a complete Databricks Asset Bundle out.

    reading    text (YAML or JSON) -> Specification; the shape is in `spec`, the sense in `checks`
    infer      which tables are facts and which dimensions, and why
    plan       every name decided, once, for all templates
    bronze, silver, gold   what each layer's file says, as data for the templates
    resources  the YAML files of the bundle
    render     everything together: path -> text
    archive    the same as a zip

Nothing here reads or writes anything; the same specification gives the same bytes.
"""
