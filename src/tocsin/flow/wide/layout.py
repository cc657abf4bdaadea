"""Where the kernels of windows find things: the fields of their int64 parameter arrays, rows and log entries.

``head`` int64 [HEAD] is one plane; ``tables`` [tables, TABLE], ``groups`` [groups, GROUP], ``adds`` [adds, ADD],
``reads`` [reads, READ] and ``maps`` [maps, MAP] are its parts. Addresses are of memory that the plane keeps alive.
"""

from __future__ import annotations

# head: the batch
H_N, H_SUBS, H_FIRST_OUT, H_STAGE, H_SUB_STAGE = 0, 1, 2, 3, 4
"""Rows, entries at most (rows, or their items), row of ``out`` that is the first, strides of the staged columns."""
H_TAUS, H_KINDS, H_FOREIGN, H_CURRENCIES, H_OWN_KEYS, H_OWN_PRESENT = 5, 6, 7, 8, 9, 10
H_SUB_KEYS, H_SUB_PRESENT, H_FLAGS, H_VALUES, H_IDENTS, H_SUB_START = 11, 12, 13, 14, 15, 16
H_BITS, H_READS, H_STARTS, H_PLACES, H_FOREIGN_PLACES = 17, 18, 19, 20, 21
"""Made by the first pass: an entry's conditions, a row's reader sets, the log's end before it, places of entries."""
H_FLAG_COUNT, H_VALUE_COUNT, H_IDENT_COUNT, H_CLEARS, H_KIND_BITS, H_KIND_COUNT = 22, 23, 24, 25, 26, 27
H_MONEY, H_LOGGED, H_ITEMS = 28, 29, 30
"""Conditions of money, conditions that the log keeps, whether rows have items."""
# head: the log
H_SEGMENTS, H_SEGMENT_MASK, H_LOG_HEAD, H_LOG_BEGIN, H_LOG_LIMIT, H_LOG_CAPACITY = 32, 33, 34, 35, 36, 37
H_LOG_WORDS, H_LOG_VALUES, H_REACH, H_FORCED, H_TAU = 38, 39, 40, 41, 42
H_TABLES, H_TABLES_END, H_OUT, H_OUT_STRIDE = 43, 44, 45, 46
HEAD = 48

SEGMENT_BITS = 16
CHUNK_BITS = 12
ENTRY_TAU, ENTRY_BITS, ENTRY_SLOTS = 0, 8, 16
"""Bytes into an entry of the log: its tau, its conditions, one int32 slot per table; then values, then identities."""

# rows: the key, the newest entry (the lower half of its place in the log, or its time where the table is swept), when
# the row was made or last reset (0: a free one, its newest entry is the next free one), when its hops were last turned,
# what has escaped
ROW_KEY, ROW_NEWEST, ROW_GENERATION, ROW_TURNED, ROW_ESCAPED = 0, 8, 12, 16, 24
"""Bytes into a row; the second and the third are halves (int32)."""
ROW_FIRST, ROW_FIRST_HOPS = 2, 4
"""The first word of a row's accumulators, without hops (then the last two are left out) and with."""
NEWEST_BITS = 26
"""A swept row's newest entry is kept in steps of 2^26 us (67 s), rounded up: till the year 9999 it fits a half."""
LINE_WORDS = 8
"""Words of a cache line: a row of at most so many has one of its own."""
# rows as they are stored: every accumulator a word, in the order key, newest, generation, turned, escaped
STORED_FIRST, STORED_FIRST_HOPS = 3, 5

T_INDEX, T_MASK, T_LIVE, T_CHUNKS, T_CAPACITY, T_USED, T_FREE, T_FREES = 0, 1, 2, 3, 4, 5, 6, 7
T_WORDS, T_GENERATION, T_GROUP, T_HOPS, T_GROUP_END = 8, 9, 10, 11, 12
"""Exact groups (of ascending reach), then groups of hops."""
T_RECENT, T_READ, T_READ_END, T_BITS, T_LOGGED, T_READERS = 13, 14, 15, 16, 17, 18
"""Reads before entry (recency), reads after it, conditions that matter, those that the log needs, reader sets."""
T_KEEP, T_HAND, T_ESCAPES, T_ROOM, T_OF_ITEMS, T_LAST, T_LAST_END, T_PLACE, T_SEEN = 19, 20, 21, 22, 23, 24, 25, 26, 27
"""Keep: microseconds after which an idle row goes, -1: rows go with their last entry of the log."""
T_OLD, T_OLD_MASK, T_OLD_AT, T_OLD_LEFT = 28, 29, 30, 31
"""The index that is being left (0: none), the next of its places to be moved (-1: none was yet), and how many are."""
TABLE = 32

G_REACH, G_DELAY, G_ADD, G_ADD_END, G_TAIL, G_TAIL_TAU, G_CURSOR, G_CURSOR_TAU = 0, 1, 2, 3, 4, 5, 6, 7
G_GENERATION, G_PAIRS, G_ROOM = 8, 9, 10
G_HOP, G_RING, G_NOW, G_START, G_NEXT, G_AT, G_AT_START, G_AT_NEXT = 11, 12, 13, 14, 15, 16, 17, 18
G_TAIL_AT = 19
"""While a table runs: the address of the entry at the tail."""
GROUP = 20

A_BIT, A_KIND, A_WORD, A_SOURCE, A_TAG, A_RING, A_WIDE = 0, 1, 2, 3, 4, 5, 6
ADD = 8
COUNT, SUM, SQUARES, DISTINCT, LAST, MOMENTS = 0, 1, 2, 3, 4, 5
"""What an add does to its word: one more, the value, its square (two words), a new identity, the tau.

``MOMENTS`` makes an exact span's count (A_WORD), sum (A_RING) and squares (A_WIDE) at once; 0: none. Words are bytes
into a row; counts of exact spans are halves: they are of entries of one log, which has fewer than 2^31.
"""
NARROW, WIDE, DOUBLE = 0, 1, 2
"""A ring of int32 (from A_RING, in halves), of int64, of two int64 each (in words)."""

R_BIT, R_KIND, R_OUT, R_COUNT, R_SUM, R_SQUARES, R_MONEY, R_UNIT, R_SPAN, R_DELAY, R_HOP = range(11)
READ = 12
READ_COUNT, READ_SUM, READ_MEAN, READ_STD, READ_RECENCY = 0, 1, 2, 3, 4

M_ENTRIES, M_MASK, M_LIVE, M_PLACE = 0, 1, 2, 3
M_OLD, M_OLD_MASK, M_OLD_AT, M_OLD_LEFT = 4, 5, 6, 7
"""The entries that are being left, as in a table."""
MAP = 8

TABLE_BYTES, GROUP_BYTES, ADD_BYTES, READ_BYTES, MAP_BYTES = 8 * TABLE, 8 * GROUP, 8 * ADD, 8 * READ, 8 * MAP

NEVER = (1 << 63) - 1
FEW = 4096
"""A span that has passed with so many entries left is walked; with more it is reset at once."""
DONE, TRIM, NEED_LOG, NEED_TABLE, NEED_MAP = 0, 1, 2, 1000, 2000
"""What a run says: done; done, and segments of the log are free; or nothing done before there is more room."""
