"""The workspace's folders and files, and workspace/* over HTTP."""

import base64
import binascii

from sandbox.clock import Timeline
from sandbox.databricks.access import Access
from sandbox.databricks.errors import invalid_parameter, refusal
from sandbox.databricks.requests import need, need_query
from sandbox.wire import Call, Json, Route, route

ROOTS = ("/Workspace", "/Workspace/Shared", "/Workspace/Users")


class Files:
    """Everything in the workspace's tree; a folder is a path without content."""

    def __init__(self, timeline: Timeline) -> None:
        self.all: dict[str, str | None] = dict.fromkeys(ROOTS)
        self._timeline = timeline

    def mkdirs(self, path: str) -> None:
        """Make a folder and those above it."""
        parts = path.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            above = "/" + "/".join(parts[:count])
            if self.all.get(above) is not None:
                raise refusal(400, "RESOURCE_ALREADY_EXISTS", f"{above} is a file.")
            self.all[above] = None
        self._timeline.mark()

    def write(self, path: str, text: str, *, overwrite: bool) -> None:
        """Put a file into a folder that is there."""
        if path.rpartition("/")[0] not in self.all:
            raise missing(f"The parent folder ({path.rpartition('/')[0]}) does not exist.")
        if path in self.all and not overwrite:
            raise refusal(400, "RESOURCE_ALREADY_EXISTS", f"{path} already exists.")
        self.all[path] = text
        self._timeline.mark()

    def below(self, folder: str) -> list[str]:
        """Return everything in a folder, at any depth."""
        return [path for path in self.all if path.startswith(f"{folder.rstrip('/')}/")]

    def delete(self, path: str, *, recursive: bool) -> None:
        """Remove a file, or a folder with what is in it."""
        if path not in self.all:
            raise missing(f"Path ({path}) doesn't exist.")
        inside = self.below(path)
        if inside and not recursive:
            raise refusal(400, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty.")
        for one in [*inside, path]:
            del self.all[one]
        self._timeline.mark()

    def matching(self, include: str) -> dict[str, str]:
        """Return the files that a library means: a file, or `folder/**`."""
        if include.endswith("/**"):
            inside = self.below(include.removesuffix("/**"))
            return {path: text for path in inside if (text := self.all[path]) is not None}
        text = self.all.get(include)
        return {} if text is None else {include: text}


class FilesApi:
    """Answers for the workspace's tree."""

    def __init__(self, files: Files, access: Access) -> None:
        self._files = files
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.0/workspace"
        return [
            route("POST", f"{base}/mkdirs", self._mkdirs),
            route("POST", f"{base}/import", self._import),
            route("POST", f"{base}/delete", self._delete),
            route("GET", f"{base}/list", self._list),
            route("GET", f"{base}/get-status", self._status),
            route("GET", f"{base}/export", self._export),
        ]

    def _path(self, path: str) -> str:
        if not path.startswith("/"):
            raise invalid_parameter(f"Path ({path}) is not absolute.")
        self._access.check("path", path)
        return path.rstrip("/")

    def _mkdirs(self, call: Call) -> Json:
        self._files.mkdirs(self._path(need(call.body, "path")))
        return {}

    def _import(self, call: Call) -> Json:
        try:
            text = base64.b64decode(need(call.body, "content"), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise invalid_parameter("content is not base64 of UTF-8.") from error
        path = self._path(need(call.body, "path"))
        self._files.write(path, text, overwrite=bool(call.body.get("overwrite")))
        return {}

    def _delete(self, call: Call) -> Json:
        path = self._path(need(call.body, "path"))
        self._files.delete(path, recursive=bool(call.body.get("recursive")))
        return {}

    def _list(self, call: Call) -> Json:
        folder = self._path(need_query(call, "path"))
        self._known(folder)
        direct = [p for p in self._files.below(folder) if "/" not in p[len(folder) + 1 :]]
        return {"objects": [self._view(path) for path in direct]}

    def _status(self, call: Call) -> Json:
        path = self._path(need_query(call, "path"))
        self._known(path)
        return self._view(path)

    def _export(self, call: Call) -> Json:
        path = self._path(need_query(call, "path"))
        self._known(path)
        content = self._files.all[path] or ""
        return {"content": base64.b64encode(content.encode()).decode()}

    def _known(self, path: str) -> None:
        if path not in self._files.all:
            raise missing(f"Path ({path}) doesn't exist.")

    def _view(self, path: str) -> Json:
        kind = "DIRECTORY" if self._files.all[path] is None else "FILE"
        return {"path": path, "object_type": kind}


def missing(message: str) -> Exception:
    """404: there is no such path."""
    return refusal(404, "RESOURCE_DOES_NOT_EXIST", message)
