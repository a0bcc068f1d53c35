# SPDX-License-Identifier: MIT
"""harness.py: all of it under one name, for tests of servers that are not our own."""
from balancer import (BALANCER, COMMON_NAME, MODES, OTHER_BALANCER, ROUTES, Balancer, Certificates,  # noqa: F401
                      Route, haproxy_version)
from examples import EXAMPLES, example  # noqa: F401
from log import LINES_A_SECOND, Event, Log, room_in_the_log  # noqa: F401
from place import ROOT, SHIM, tool, unprivileged  # noqa: F401
from process import (EndedAtStart, Process, clean_env, descendants, environment, open_files, run,  # noqa: F401
                     running, scratch, shim_env, waits_in)
from sockets import (accept_queue, dial, ended_among, exchange, in_an_epoll, listens, read_to_end, reserve_port,  # noqa: F401
                     reset)
from waiting import DEADLINE, until  # noqa: F401
from wire import CLIENT, CLIENT6, CRC32C, LOCAL, PROXY, SIGNATURE, SSL, SSL_CN, TCP4, TCP6, crc32c, tlv  # noqa: F401
from wire import v1 as proxy_v1, v2 as proxy_v2  # noqa: F401
