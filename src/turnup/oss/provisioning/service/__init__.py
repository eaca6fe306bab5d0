"""Use cases of provisioning: the services, and the brake on what changes them by itself."""

from turnup.oss.provisioning.service.services import REALISE, Provisioning, Seal

__all__ = ["REALISE", "Provisioning", "Seal"]
