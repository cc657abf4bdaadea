"""flow: the data plane. Windows, series, deadlines and rules over a stream of events; knows no host."""
