"""The health desk: whether the shop can sell at all.

Reads ``payment.attempted``, ``order.placed`` and ``http.request`` through its series alone; it scores no events. The
score of a signal is the alarm's confidence in [0.5, 1): 0.5 where the false-alarm budget just allows it. Signals:
``gateway-outage`` (one payment gateway), ``payment-failures`` (all of them together), ``http-errors`` and
``orders-drop`` (the shop).

How soon an outage is seen follows from how many payments there are: on a busy gateway with the first closed bucket
(17 s at most); a hard outage of a gateway with one payment every two minutes after its third or fourth failure.

Reference: Lai, Sequential changepoint detection in quality control and dynamical systems (1995), through
``methods.alarm``.
"""

from tocsin.desks.health.desk import HealthDesk

__all__ = ["HealthDesk"]
