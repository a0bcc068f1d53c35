# SPDX-License-Identifier: MIT
"""test_world.py: every server of the world is asked the same (questions.py). One line is one row of the table in
tests/servers/README.md."""
import daemons
import name_servers
import runtimes
import test_caddy
import test_dovecot
import test_go
import test_mariadb
import test_memcached
import test_mosquitto
import test_nginx
import test_node
import test_postfix
import test_postgresql
import test_python
import test_redis
import test_socat
import test_sshd
import test_systemd_socket_activate
import test_xinetd
import web_servers
from questions import world

# Whose connections are accepted by somebody else, each for a process of its own: there is nobody to keep waiting.
ONE_EACH = dict.fromkeys(("late", "300 silent", "probe first"), "one process each")

# Who is refused is not named in its log, or by an address without a port, and so could be anybody.
NOT_NAMED = {"untrusted header": "not logged"}

# Whose processes wait for their turn at the listener, and for that time look after nobody: with PPSHIM_DEFER_ACCEPT=on.
IN_TURNS = {"clients_at_the_same_time_are_not_mixed_up":
            test_postfix.TestContract.test_clients_at_the_same_time_are_not_mixed_up}

TestApacheEvent = world(web_servers.ApacheEvent, "Apache (event)", "apache2-bin", "access log")
TestApachePrefork = world(web_servers.ApachePrefork, "Apache (prefork)", "apache2-bin", "access log")
TestLighttpd = world(web_servers.Lighttpd, "lighttpd", "lighttpd", "REMOTE_ADDR in a page", NOT_NAMED)
TestHAProxy = world(web_servers.HAProxy, "HAProxy", "haproxy", "`%ci %cp` in answer and log")
TestDropbear = world(daemons.Dropbear, "dropbear", "dropbear-bin", "SSH_CONNECTION, log")
TestVsftpd = world(daemons.Vsftpd, "vsftpd", "vsftpd", "log", NOT_NAMED)
TestProFtpd = world(daemons.ProFtpd, "ProFTPD", "proftpd-core", "log", NOT_NAMED)
TestPgBouncer = world(daemons.PgBouncer, "PgBouncer", "pgbouncer", "log", {"IPv6": "the first"})
TestSlapd = world(daemons.Slapd, "OpenLDAP slapd", "slapd", "log")
TestUnbound = world(name_servers.Unbound, "Unbound (TCP)", "unbound", "query log", NOT_NAMED)
TestBind = world(name_servers.Bind, "BIND (TCP)", "bind9", "query log", NOT_NAMED)
TestKnot = world(name_servers.Knot, "Knot DNS (TCP)", "knot", "whoami's answer", NOT_NAMED)
TestStunnel = world(daemons.Stunnel, "stunnel", "stunnel4", "REMOTE_HOST of what it starts, log")
TestTinyproxy = world(web_servers.Tinyproxy, "tinyproxy", "tinyproxy-bin", "its page, log", NOT_NAMED)
TestVarnish = world(web_servers.Varnish, "Varnish", "varnish", "`client.ip` in its answer", NOT_NAMED)
TestSquid = world(web_servers.Squid, "Squid", "squid", "access log")
TestAsyncio = world(runtimes.Asyncio, "Python asyncio", "python3", "its answer, log", NOT_NAMED)
TestGunicornSync = world(runtimes.GunicornSync, "gunicorn (sync)", "gunicorn", "REMOTE_ADDR, access log", NOT_NAMED)
TestGunicornThreads = world(runtimes.GunicornThreads, "gunicorn (gthread)", "gunicorn", "REMOTE_ADDR, access log", NOT_NAMED)
# A worker of uWSGI's that has just begun does not hear SIGTERM, with the shim or without.
TestUwsgi = world(runtimes.Uwsgi, "uWSGI", "uwsgi-core", "REMOTE_ADDR, log", {**NOT_NAMED, "probe first": "bare hangs too"})
TestTwisted = world(runtimes.Twisted, "Twisted", "python3-twisted", "its answer, log", NOT_NAMED)
TestPhpStatic = world(runtimes.PhpStatic, "PHP-FPM (static)", "php8.2-fpm", "allowed_clients, getpeername", NOT_NAMED)
TestPhpDynamic = world(runtimes.PhpDynamic, "PHP-FPM (dynamic)", "php8.2-fpm", "allowed_clients, getpeername", NOT_NAMED)
TestPhpOnDemand = world(runtimes.PhpOnDemand, "PHP-FPM (ondemand)", "php8.2-fpm", "allowed_clients, getpeername", NOT_NAMED)
TestPuma = world(runtimes.Puma, "Puma", "puma", "its answer, log", NOT_NAMED)
TestNetServerFork = world(runtimes.NetServerFork, "Net::Server (Fork)", "libnet-server-perl", "its answer, log", NOT_NAMED)
TestNetServerPreFork = world(runtimes.NetServerPreFork, "Net::Server (PreFork)", "libnet-server-perl", "its answer, log",
                             NOT_NAMED, **IN_TURNS)
TestNode = world(test_node.Node, "Node", "nodejs", "its answer, log")
TestNodeHanded = world(test_node.ClusterHanded, "Node cluster (handed)", "nodejs", "its answer, log")
TestNodeShared = world(test_node.ClusterShared, "Node cluster (shared)", "nodejs", "its answer, log")
TestNodeThread = world(runtimes.NodeThread, "Node worker_threads", "nodejs", "its answer, log", NOT_NAMED)
TestSamba = world(daemons.Samba, "Samba", "samba", "`%I` in a share's preexec", NOT_NAMED)
TestProsody = world(web_servers.Prosody, "Prosody", "prosody", "its answer, log", NOT_NAMED)
TestTomcatNio = world(web_servers.Tomcat, "Tomcat (NIO)", "tomcat10", "access log")
TestTomcatNio2 = world(web_servers.TomcatNio2, "Tomcat (NIO2)", "tomcat10", "access log")
TestMariaDB = world(test_mariadb.MariaDB, "MariaDB", "mariadb-server-core", "SHOW PROCESSLIST, general log, grants")
TestPostgreSQL = world(test_postgresql.PostgreSQL, "PostgreSQL", "postgresql-15", "inet_client_addr(), log, pg_hba.conf")
TestRedis = world(test_redis.Redis, "Redis", "redis-server", "CLIENT INFO, log")
TestMemcached = world(test_memcached.Memcached, "memcached", "memcached", "stats conns, watch",
                      {"untrusted header": "test_memcached.py"})
TestMosquitto = world(test_mosquitto.Mosquitto, "Mosquitto", "mosquitto", "log")
TestSshd = world(test_sshd.Sshd, "OpenSSH", "openssh-server", "SSH_CONNECTION, log")
TestNginx = world(test_nginx.Nginx, "nginx", "nginx", "$remote_addr in answer and log")
TestNginxReuseport = world(test_nginx.NginxReuseport, "nginx (reuseport)", "nginx", "$remote_addr in answer and log")
TestNginxMutex = world(test_nginx.NginxMutex, "nginx (accept_mutex)", "nginx", "$remote_addr in answer and log")
TestDovecot = world(test_dovecot.Dovecot, "Dovecot", "dovecot-core", "log")
TestPostfix = world(
    test_postfix.Postfix, "Postfix", "postfix", "its answers, log",
    **IN_TURNS)
TestPythonSent = world(test_python.PythonSent, "Python (sockets sent to workers)", "python3", "its answer, log")
TestPythonShared = world(test_python.PythonShared, "Python (prefork)", "python3", "its answer, log")
TestXinetd = world(test_xinetd.Xinetd, "xinetd, sshd -i", "xinetd", "SSH_CONNECTION, log", ONE_EACH)
TestSocat = world(test_socat.Socat, "socat, sshd -i", "socat", "SSH_CONNECTION, log", ONE_EACH)
TestSocketActivate = world(test_systemd_socket_activate.SocketActivate, "systemd-socket-activate, sshd -i", "systemd",
                           "SSH_CONNECTION, log", ONE_EACH)
TestGo = world(test_go.Go, "Go (dynamic)", "golang-go", "its answer, log")
TestGoStatic = world(test_go.GoStatic, "Go (static)", "golang-go", "its answer, log")
TestCaddy = world(test_caddy.Caddy, "Caddy", "caddy", "its answer, access log", NOT_NAMED)
TestExim = world(daemons.Exim, "Exim", "exim4-daemon-light", "its greeting, log")
TestPgpool = world(daemons.Pgpool, "pgpool-II", "pgpool2", "log", NOT_NAMED)
