"""The registry's answers that are no success, with Confluent's error codes."""

from __future__ import annotations


class RegistryError(Exception):
    """``code`` is five digits, or the HTTP status itself; its first three are the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.code // 100 if self.code > 999 else self.code

    @property
    def body(self) -> dict[str, int | str]:
        """As clients parse it."""
        return {"error_code": self.code, "message": str(self)}


def subject_not_found(subject: str) -> RegistryError:
    """40401"""
    return RegistryError(40401, f"Subject '{subject}' not found.")


def version_not_found(version: object) -> RegistryError:
    """40402"""
    return RegistryError(40402, f"Version {version} not found.")


def schema_not_found(schema_id: int | None = None) -> RegistryError:
    """40403"""
    return RegistryError(40403, "Schema not found" if schema_id is None else f"Schema {schema_id} not found")


def subject_soft_deleted(subject: str) -> RegistryError:
    """40404"""
    return RegistryError(
        40404, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
    )


def subject_not_soft_deleted(subject: str) -> RegistryError:
    """40405"""
    return RegistryError(40405, f"Subject '{subject}' was not deleted first before being permanently deleted")


def version_soft_deleted(subject: str, version: int) -> RegistryError:
    """40406"""
    return RegistryError(
        40406,
        f"Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete permanently",
    )


def version_not_soft_deleted(subject: str, version: int) -> RegistryError:
    """40407"""
    return RegistryError(
        40407, f"Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
    )


def no_subject_level(subject: str) -> RegistryError:
    """40408"""
    return RegistryError(40408, f"Subject '{subject}' does not have subject-level compatibility configured")


def invalid_schema(reason: str) -> RegistryError:
    """42201"""
    return RegistryError(42201, f"Invalid schema: {reason}")


def invalid_version(version: str) -> RegistryError:
    """42202"""
    return RegistryError(
        42202,
        f"The specified version '{version}' is not a valid version id; it is 1 to 2147483647 or 'latest'",
    )


def invalid_level(level: object) -> RegistryError:
    """42203"""
    return RegistryError(42203, f"Invalid compatibility level: {level}")


def incompatible(problems: list[str]) -> RegistryError:
    """409"""
    return RegistryError(409, f"Schema being registered is incompatible with an earlier schema: {problems}")
