# SPDX-License-Identifier: MIT
"""web_servers.py: servers and proxies of HTTP."""
import signal

from described import PROGRAMS, Answers, Http, Unlogged
from harness import unprivileged


class ApacheEvent(Http):
    """By itself it has the kernel wait for a client's first bytes (TCP_DEFER_ACCEPT), and then nobody silent gets as far as
    the shim: here it has not."""
    name = "apache"
    programs = ("apache2",)
    accept_error = r".*\[(?:crit|alert|emerg)\].*|.*(?:apr_socket_accept|AH00052|AH00048).*"
    mpm = "event"
    ready_line = r"resuming normal operations"
    reload_signal = signal.SIGUSR1
    reloaded = ready_line

    def argv(self):
        modules = "/usr/lib/apache2/modules"
        return [self.program(), "-DFOREGROUND", "-f", self.file("apache.conf", f"""\
ServerRoot {self.directory}
ServerName test
PidFile pid
DefaultRuntimeDir {self.directory}
User www-data
Group www-data
LoadModule mpm_{self.mpm}_module {modules}/mod_mpm_{self.mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
Listen {self.host}:{self.port}
AcceptFilter http none
StartServers 2
ErrorLog {self.log.path}
LogFormat "%a %{{remote}}p %r %>s" peers
CustomLog {self.client_log.path} peers
DocumentRoot {self.directory}
""")]


class ApachePrefork(ApacheEvent):
    """One child after the other accepts, and looks meanwhile after nobody whose header it waits for."""
    keeps_waiting = False
    mpm = "prefork"


class Lighttpd(Unlogged, Answers):
    """A page made by its server-side includes. (Its access log is written every four seconds.)"""
    name = "lighttpd"
    programs = ("lighttpd",)
    path = "/who.shtml"
    accept_error = r".*accept failed.*"
    ready_line = r"server started"

    def login(self, endpoint):
        return self.told(super().login(endpoint))

    def argv(self):
        self.file("who.shtml", '<!--#echo var="REMOTE_ADDR" --> <!--#echo var="REMOTE_PORT" -->')
        return [self.program(), "-D", "-f", self.file("lighttpd.conf", f"""\
server.modules = ( "mod_ssi" )
server.document-root = "{self.directory}"
server.bind = "{self.host}"
server.port = {self.port}
server.errorlog = "{self.log.path}"
ssi.extension = ( ".shtml" )
mimetype.assign = ( ".shtml" => "text/html" )
""")]


class HAProxy(Answers):
    """A master that hands its listeners to workers and to its own next image. It makes its standard error non-blocking, and
    thereby takes O_APPEND from it: nobody else can write there."""
    name = "haproxy-server"
    programs = ("haproxy",)
    own_log = "own.log"
    names = r"^{address} {port} "
    accept_error = r".*(?:ALERT|accept\(\)).*"
    reload_signal = signal.SIGUSR2

    def is_ready(self, mark):
        return self.client_log.find(r"Loading success")

    def renew(self):
        mark = self.client_log.mark()
        self.process.send_signal(self.reload_signal)
        self.client_log.wait(r"Loading success", mark)

    def argv(self):
        return ["/bin/sh", "-c", 'exec "$@" 2>>"$0"', self.client_log.path, self.program(), "-W", "-db", "-f", self.file("haproxy.cfg", f"""\
global
  log stderr format raw daemon
defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend who
  bind {self.host}:{self.port}
  log global
  log-format "%ci %cp %ST"
  http-request return status 200 content-type text/plain lf-string "%ci %cp"
""")]


class Varnish(Unlogged, Answers):
    name = "varnish"
    programs = ("varnishd",)

    ready_line = r"Child \(\d+\) said Child starts"
    accept_error = r".*(?:Error|Accept failed).*"

    def login(self, endpoint):
        return self.told(super().login(endpoint))

    def argv(self):
        vcl = self.file("who.vcl", """\
vcl 4.1;
import std;
backend default none;
sub vcl_recv { return (synth(200)); }
sub vcl_synth {
    set resp.body = "" + client.ip + " " + std.port(client.ip);
    return (deliver);
}
""")
        return [self.program(), "-F", "-f", vcl, "-a", f"{self.host}:{self.port}", "-n", self.directory / "state",
                "-s", "malloc,8m", "-p", "thread_pool_min=10"]


class Squid(Http):
    name = "squid"
    programs = ("squid",)
    statuses = ("403",)
    accept_error = r".*(?:FATAL|accept).*: .*"
    ready_line = r"Accepting HTTP Socket connections"

    def url(self, word):
        return f"http://{word}.test/"

    def argv(self):
        self.directory.chmod(0o777)
        return [self.program(), "-N", "-f", self.file("squid.conf", f"""\
http_port {self.host}:{self.port}
http_access deny all
logformat peers %>a %>p %ru %>Hs
access_log stdio:{self.client_log.path} peers
cache_log {self.log.path}
cache deny all
pid_filename none
pinger_enable off
coredump_dir {self.directory}
shutdown_lifetime 0 seconds
visible_hostname test
""")]


class Tinyproxy(Answers):
    """Its page of statistics may name who asks."""
    name = "tinyproxy"
    programs = ("tinyproxy",)
    ipv6_routes = ()
    path = "http://tinyproxy.stats/"
    own_log = None
    names = r"Connect \(file descriptor \d+\): {address}\b"
    tells_ports = False
    accept_error = r".*(?:Accept returned an error|CRITICAL).*"
    ready_line = r"Starting main loop"

    def argv(self):
        return [self.program(), "-d", "-c", self.file("tinyproxy.conf", f"""\
User nobody
Group nogroup
Listen {self.host}
Port {self.port}
Timeout 600
MaxClients 1000
StatFile "{self.file('stats.html', '{clientip}')}"
LogFile "{self.log.path}"
LogLevel Info
""")]


class Tomcat(Http):
    """One thread accepts and gives what it accepted to a poller."""
    name = "tomcat"
    programs = ("java",)
    connector = "Nio"
    accept_error = r".*Socket accept failed.*"
    ready_line = r"Server startup in"

    def argv(self):
        for made in ("conf", "temp", "webapps"):
            (self.directory / made).mkdir(exist_ok=True)
        self.file("conf/server.xml", f"""\
<Server port="-1"><Service name="Catalina">
  <Connector address="{self.host}" port="{self.port}" protocol="org.apache.coyote.http11.Http11{self.connector}Protocol"/>
  <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps">
    <Valve className="org.apache.catalina.valves.AccessLogValve" directory="{self.directory}" prefix="access" suffix=".log"
           rotatable="false" buffered="false" pattern="%a %{{remote}}p %r %s"/>
  </Host></Engine>
</Service></Server>
""")
        home = "/usr/share/tomcat10"
        return [self.program(), "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dcatalina.home={home}",
                f"-Dcatalina.base={self.directory}", f"-Djava.io.tmpdir={self.directory}/temp",
                "-cp", f"{home}/bin/bootstrap.jar:{home}/bin/tomcat-juli.jar", "org.apache.catalina.startup.Bootstrap"]


class TomcatNio2(Tomcat):
    connector = "Nio2"


class Prosody(Answers):
    """Serves HTTP to its web clients; a module of a few lines tells them who they are."""
    name = "prosody"
    programs = ("prosody",)
    ipv6_routes = ()
    user = unprivileged("prosody")
    path = "/who"
    own_log = None
    names = r"served {address} {port}$"
    accept_error = r".*(?:error\\t|accept).*"
    ready_line = r"Activated service 'http' on"

    def argv(self):
        self.directory.chmod(0o777)
        return [self.program(), "-F", "--config", self.file("prosody.cfg.lua", f"""\
data_path = "{self.directory}"
pidfile = "{self.directory}/prosody.pid"
plugin_paths = {{ "{PROGRAMS}" }}
modules_enabled = {{ "http", "who" }}
modules_disabled = {{ "s2s", "c2s", "offline" }}
http_ports = {{ {self.port} }}
http_interfaces = {{ "{self.host}" }}
https_ports = {{ }}
http_default_host = "localhost"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
VirtualHost "localhost"
""")]
