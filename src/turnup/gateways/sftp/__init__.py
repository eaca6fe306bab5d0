"""Files on other systems by SFTP, over the SSH transport: pinned host key, one kept connection."""
