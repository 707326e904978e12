"""Samplers, which choose the next configuration, and pruners, which stop a trial early."""
