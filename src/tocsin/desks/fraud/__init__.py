"""The fraud desk: who pays, with what, and whether the truth about earlier payments speaks against it.

Reads ``payment.attempted``, ``order.placed`` and ``label.given``. Payments get a calibrated probability of harm in
[0, 1], orders are answered by rules. The answer is the cheapest of allow, challenge, hold and deny in expectation
(``methods.costs``), not a cut at 0.5. Windows over card, account, device, address, ip, bin and merchant; the risk of a
merchant counts labels over payments that are old enough to have one. Signals: ``card-testing`` (device, ip, bin) and
``account-fraud``.

References: Le Borgne, Siblini, Lebichot and Bontempi, Reproducible Machine Learning for Credit Card Fraud Detection
(2022); Bahnsen et al., Example-dependent cost-sensitive decision trees (2015); Lundberg et al., TreeSHAP (2020).
"""

from tocsin.desks.fraud.desk import FraudDesk, shipped

__all__ = ["FraudDesk", "shipped"]
