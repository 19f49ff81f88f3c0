"""Damaged and hostile files by the thousand: each is read to a result or refused in one sentence."""
