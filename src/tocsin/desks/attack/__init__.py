"""The attack desk: who floods, scans, guesses passwords or injects code.

Reads ``http.request`` and ``account.login``. Scores in [0, 1] are confidences of hand-set evidence, not calibrated
probabilities; a row without evidence is not scored. Signals: ``request-flood`` (address, and the whole shop from the
series), ``scan``, ``login-flood`` (address, account, and the whole shop), ``injection``.

References: OWASP Automated Threats (OAT-008 credential stuffing, OAT-014 vulnerability scanning, OAT-015 denial of
service); OWASP Core Rule Set 4; CrowdSec hub scenarios for rates of scans and log-in failures.
"""

from tocsin.desks.attack.desk import AttackDesk

__all__ = ["AttackDesk"]
