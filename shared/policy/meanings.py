"""What each setting of the policy means and why its default is what it is.

The words of docs/policy.md and of the schema; a test checks that no setting is without its words.
"""

from __future__ import annotations

MEANINGS: dict[str, tuple[str, str]] = {
    "mode": (
        (
            "How far automation may go. The setting `AUTO_REMEDIATION_MODE` can only make it "
            "more cautious."
        ),
        "Nothing is touched until a team says so.",
    ),
    "scope.include": (
        (
            "What is looked after. Work must match at least one entry; without entries all work "
            "does."
        ),
        "In observe mode nothing can happen, and a report on half of the work misleads.",
    ),
    "scope.exclude": (
        "What is left alone. It outweighs `include`.",
        "Nothing is hidden from a team that has not asked for it.",
    ),
    "permits.pilot.low": (
        "What pilot does with errors of low risk.",
        "Each action of a trial is approved by a person.",
    ),
    "permits.pilot.medium": (
        "What pilot does with errors of medium risk.",
        "A trial begins with what is least dangerous; the rest is written down.",
    ),
    "permits.pilot.high": (
        "What pilot does with errors of high risk.",
        "As for medium risk.",
    ),
    "permits.pilot.error_types": (
        "What pilot does with one error type, whatever its risk.",
        "The risk decides until a team knows better.",
    ),
    "permits.pilot.undeclared": (
        "What pilot does at most with work that nobody has declared rerunnable or not.",
        "A person can judge whether a rerun does harm.",
    ),
    "permits.production.low": (
        "What production does with errors of low risk.",
        "Time-outs, throttling and lost connections are what automation is for.",
    ),
    "permits.production.medium": (
        "What production does with errors of medium risk.",
        "Restarts and larger clusters are bounded and given back.",
    ),
    "permits.production.high": (
        "What production does with errors of high risk.",
        "A wrong action costs more than a question.",
    ),
    "permits.production.error_types": (
        (
            "What production does with one error type, whatever its risk. Types that are never "
            "automated stay so."
        ),
        "The risk decides until a team knows better.",
    ),
    "permits.production.undeclared": (
        "What production does at most with work that nobody has declared rerunnable or not.",
        "An appending load that runs twice doubles its data.",
    ),
    "rerunnable[].match": (
        "Which work the entry is about.",
        "The entry would mean nothing without it; `{}` means all work.",
    ),
    "rerunnable[].rerunnable": (
        (
            "Whether running this work twice does no harm. The first entry that matches decides; "
            "`false` means that it is never rerun."
        ),
        "Only the work's owner knows.",
    ),
    "attempts.overall": (
        (
            "Tries of all remedies together in one incident. `AUTO_REMEDIATION_MAX_RETRIES` can "
            "only lower it."
        ),
        "What five tries did not mend needs a person.",
    ),
    "attempts.error_types": (
        (
            "Tries for one error type in one incident; the catalog's own limit holds too, the "
            "lower wins."
        ),
        "The catalog's limits are set type by type.",
    ),
    "cooldown": (
        "After an action on a target, the time before another incident acts on it.",
        "The lock and the breaker protect the target already; a pause delays healing.",
    ),
    "grace": (
        "Act only if it is still failing this long after the incident was opened.",
        "The platforms' own retries are recognised anyway.",
    ),
    "blast_radius.actions_per_hour": (
        "Actions within one hour, in all.",
        "Enough for a bad night, too few for a runaway.",
    ),
    "blast_radius.actions_per_hour_per_target": (
        "Actions within one hour on one pipeline, job or cluster.",
        "More than a whole incident's attempts on one thing is a loop.",
    ),
    "blast_radius.percent_of_targets": (
        "Share in per cent of the known pipelines and jobs that is acted on within one hour.",
        (
            "A team with three pipelines must not be stopped by its first failure; the counts "
            "limit already."
        ),
    ),
    "blast_radius.percent_from": (
        "As many pipelines and jobs may be acted on whatever their share.",
        "A share of few says nothing: two of three is one bad hour, not a runaway.",
    ),
    "breaker.failures": (
        (
            "Incidents with a failed remediation of one error type or target within "
            "`breaker.window` that open the breaker."
        ),
        "One incident that cannot be repaired, however often it is tried, is one of them.",
    ),
    "breaker.window": (
        "The time within which failures count.",
        "What failed yesterday says little about now.",
    ),
    "breaker.ineffective": (
        (
            'Times that the same repair of the same thing may "work" within '
            "`breaker.ineffective_window` before the breaker opens."
        ),
        "Twice may be chance, three times the cause is elsewhere.",
    ),
    "breaker.ineffective_window": (
        "The time within which ineffective repairs count.",
        "A fault that comes back hourly is seen, a nightly one is not mistaken for it.",
    ),
    "breaker.half_open_after": (
        "How long the breaker stays open before one remediation is tried.",
        "Long enough for a disturbance to pass, short enough to heal the same night.",
    ),
    "cost.usd_per_day": (
        (
            "Ceiling of the estimated cost of all actions of one UTC day, in USD; `null`: none. "
            "`AUTO_REMEDIATION_MAX_COST_USD` can only lower it."
        ),
        "No figure fits everybody; set your own before production.",
    ),
    "cost.prices.dbu_price": (
        "USD for one DBU.",
        "List price of all-purpose compute, premium tier: the dearest of the usual kinds.",
    ),
    "cost.prices.dbu_per_node_hour": (
        "DBUs that one node uses in an hour, for node types that `node_dbu` does not list.",
        "A general-purpose node of 4 cores and 14 GB.",
    ),
    "cost.prices.vm_per_node_hour": (
        (
            "USD for one node's virtual machine and hour, for node types that `node_vm` does not "
            "list."
        ),
        "The same node at list price, rounded up.",
    ),
    "cost.prices.node_dbu": (
        "DBUs per node and hour, by node type.",
        "They differ by type and change; take them from the price list.",
    ),
    "cost.prices.node_vm": (
        "USD per virtual machine and hour, by node type.",
        "They differ by region and contract.",
    ),
    "cost.prices.adf_activity_run": (
        "USD for one activity run of Data Factory.",
        "List price: 1 USD for 1,000 runs.",
    ),
    "cost.prices.adf_integration_runtime_hour": (
        "USD for one data integration unit and hour.",
        "List price of the Azure integration runtime.",
    ),
    "cost.assumed_run": (
        "How long a run is taken to last where no earlier run tells.",
        "A guess on the dear side; history replaces it after the first run.",
    ),
    "windows[].name": (
        "What the window is called in the audit trail; each name once.",
        "A held alert must name what held it.",
    ),
    "windows[].match": (
        "Which work the window is for.",
        "Maintenance of a platform concerns all work on it.",
    ),
    "windows[].start": (
        "When a window that comes once begins.",
        "A weekly window has none.",
    ),
    "windows[].end": (
        "When a window that comes once ends; the first moment outside it.",
        "A weekly window has none.",
    ),
    "windows[].days": (
        "The days on which a weekly window begins.",
        "A window that comes once has none.",
    ),
    "windows[].from": (
        "When a weekly window begins.",
        "A window that comes once has none.",
    ),
    "windows[].to": (
        "When a weekly window ends. If it is not after `from` it is on the next day.",
        "A window that comes once has none.",
    ),
    "windows[].timezone": (
        "IANA name of the time zone of `from` and `to`.",
        "The same everywhere, without changes of clocks.",
    ),
    "approval.expires": (
        "How long a question waits for its answer; then the incident escalates.",
        "Half a working day: later the data is late anyway.",
    ),
    "approval.look": (
        "How often an answer is looked for in the ledger, should its event have been lost.",
        "Loss is rare; ten minutes are short against four hours.",
    ),
    "storm.failures": (
        "Failures of one kind within `storm.within` that make a storm.",
        "Fewer may well have different causes.",
    ),
    "storm.within": (
        "The time within which they count.",
        "Retries and schedules spread one disturbance over minutes, not hours.",
    ),
    "storm.probes": (
        (
            "The time before the first probe, and between two probes; each longer than the one "
            "before, the last one repeats."
        ),
        "Quick to see a short disturbance, gentle with a long one.",
    ),
    "storm.release": (
        "Members let go at first when a probe succeeded; doubled each time.",
        "A platform that has just come back is not flooded.",
    ),
    "storm.release_every": (
        "The time between two releases.",
        "Enough to see the members before start well.",
    ),
    "storm.gives_up": (
        "How long a storm is probed; then its members escalate.",
        "A working day or night; by then people are on it.",
    ),
    "selector.targets": (
        "Patterns for names of factories and workspaces.",
        "Not given: any.",
    ),
    "selector.environments": (
        "Patterns for the environment that a target carries.",
        "Not given: any.",
    ),
    "selector.pipelines": (
        "Patterns for Data Factory and DLT pipelines, by name or id.",
        "Not given: any, unless `jobs` or `clusters` is.",
    ),
    "selector.jobs": (
        "Patterns for Databricks jobs, by name or id.",
        "Not given: any, unless `pipelines` or `clusters` is.",
    ),
    "selector.clusters": (
        "Patterns for clusters and what is installed on them, by name or id.",
        "Not given: any, unless `pipelines` or `jobs` is.",
    ),
    "selector.tags": (
        (
            "Tags of the target and of the job or cluster, all of which must be there; values "
            "are patterns."
        ),
        "Not given: any.",
    ),
}
