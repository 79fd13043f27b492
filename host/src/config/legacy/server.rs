//! `rserver.conf`, but for what it says of signing in.

use super::{Name, honoured, instead, only};

const LAUNCHER: &str = "there is no launcher beside the daemon: each node starts its sessions itself, and nodes talk to each \
                        other over www-port alone";
const CONTAINERS: &str = "sessions run on the nodes themselves, not in containers; kinds and labels choose among nodes";
const CLUSTERS: &str = "there is one cluster, this one; node-label-KEY and [labels] of a kind choose among its nodes";
const PROJECTS: &str = "projects are shared by directories that a group may write to; no daemon changes access lists";
const RSTUDIO: &str = "what RStudio Server is started with stands in kinds/rstudio.toml";
const R_VERSIONS: &str = "RStudio Server finds R on the search path, or by RSTUDIO_WHICH_R in kinds/rstudio.toml";
const MONITOR: &str = "each node measures itself at every heartbeat: GET /api/v1/nodes has the numbers";
const AUDIT: &str =
    "the log has a line for each sign-in, GET /api/v1/placements one for each start; what R runs is not recorded";
const METRICS: &str = "there is no page of metrics in this version; GET /api/v1/nodes has the numbers of every node";
const HEALTH: &str = "GET /health-check always answers `ok`; GET /api/v1/nodes has load, memory and sessions";
const API: &str = "the REST interface is always there (/api/openapi.json), for whoever signs in and by the token of the data \
                   directory";
const ORIGIN: &str = "changes from pages of another origin are always refused";

pub(super) const NAMES: &[Name] = &[
    honoured("load-balancing-enabled", "load-balancing-enabled=1"),
    honoured("resolve-load-balancer-nodes", "resolve-load-balancer-nodes=1"),
    honoured("rsession-memory-limit-mb", "rsession-memory-limit-mb=4096"),
    honoured("rsession-process-limit", "rsession-process-limit=100"),
    honoured("rsession-stack-limit-mb", "rsession-stack-limit-mb=64"),
    honoured("secure-cookie-key-file", "secure-cookie-key-file=/srv/key"),
    honoured("server-data-dir", "server-data-dir=/run/short"),
    honoured("server-shared-storage-path", "server-shared-storage-path=/"),
    honoured("server-user", "server-user=somebody"),
    honoured("www-address", "www-address=127.0.0.1"),
    honoured("www-port", "www-port=8080"),
    honoured("ssl-enabled", "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem"),
    only("www-root-path", "/", "serve it under a host name of its own"),
    instead("metrics-address", METRICS),
    instead("metrics-enabled", METRICS),
    instead("metrics-port", METRICS),
    instead("server-health-check-enabled", HEALTH),
    instead("server-project-sharing", PROJECTS),
    // From memory.
    instead("admin-monitor-log-use-server-time-zone", "times are UTC").recalled(),
    instead("audit-data-path", AUDIT).recalled(),
    instead("audit-r-console", AUDIT).recalled(),
    instead("audit-r-sessions", AUDIT).recalled(),
    instead("copilot-enabled", RSTUDIO).recalled(),
    instead("database-config-file", "it is database.conf in the configuration directory").recalled(),
    instead("launcher-address", LAUNCHER).recalled(),
    instead("launcher-adhoc-clusters", CLUSTERS).recalled(),
    instead("launcher-default-cluster", CLUSTERS).recalled(),
    instead(
        "launcher-local-proxy",
        "the node that a browser reached always passes its traffic on to the node of the session, over www-port; no range \
         of ephemeral ports needs to be open",
    ),
    instead("launcher-port", LAUNCHER).recalled(),
    instead("launcher-sessions-callback-address", LAUNCHER).recalled(),
    instead("launcher-sessions-callback-verify-ssl-certs", LAUNCHER).recalled(),
    instead("launcher-sessions-clusters", CLUSTERS).recalled(),
    instead("launcher-sessions-container-image", CONTAINERS).recalled(),
    instead("launcher-sessions-container-run-as-root", CONTAINERS).recalled(),
    instead("launcher-sessions-create-container-user", CONTAINERS).recalled(),
    instead("launcher-sessions-enabled", "every session is started by the daemon of its node; there is no other way")
        .recalled(),
    instead("launcher-sessions-forward-container-environment", CONTAINERS).recalled(),
    instead("launcher-use-ssl", LAUNCHER).recalled(),
    instead("launcher-verify-ssl-certs", LAUNCHER).recalled(),
    instead("monitor-data-path", MONITOR).recalled(),
    instead("monitor-graphite-enabled", MONITOR).recalled(),
    instead("monitor-graphite-host", MONITOR).recalled(),
    instead("monitor-graphite-port", MONITOR).recalled(),
    instead("monitor-interval-seconds", "heartbeat-interval-ms says how often a node measures and reports itself")
        .recalled(),
    instead("monitor-rrd-enabled", MONITOR).recalled(),
    instead("r-versions-path", R_VERSIONS).recalled(),
    instead("r-versions-scan", R_VERSIONS).recalled(),
    instead("rsession-config-file", "it is rsession.conf in the configuration directory").recalled(),
    instead("rsession-diagnostics-enabled", RSTUDIO).recalled(),
    instead("rsession-exec-command", "the arguments of a kind say what is run: docs/kinds.md").recalled(),
    instead("rsession-ld-library-path", R_VERSIONS).recalled(),
    instead("rsession-ldpath-script", R_VERSIONS).recalled(),
    instead("rsession-no-profile", "session-login-shell=0 starts programs without the profile of their user")
        .recalled(),
    instead("rsession-path", RSTUDIO).recalled(),
    instead("rsession-proxy-max-wait-seconds", "seconds under [ready] of a kind says how long it may take to start")
        .recalled(),
    instead("rsession-which-r", R_VERSIONS).recalled(),
    instead("server-access-log", "a proxy before the nodes keeps such a log").recalled(),
    instead("server-add-header", "a proxy before the nodes adds headers").recalled(),
    instead("server-app-armor-enabled", "confine the daemon by its systemd unit").recalled(),
    instead("server-daemonize", "systemd keeps the daemon running; it never leaves its terminal by itself").recalled(),
    instead(
        "server-multiple-sessions",
        "users always may have several sessions; session-limit in profiles says how many",
    )
    .recalled(),
    instead("server-offline", "`cordon NODE` lets a node take no new sessions").recalled(),
    instead("server-pid-file", "systemd knows the daemon's process").recalled(),
    instead("server-project-sharing-root-dir", PROJECTS).recalled(),
    instead("server-set-umask", "session-umask is the mode mask that programs start with").recalled(),
    instead("server-working-dir", "the daemon works in no directory; sessions start in their user's home").recalled(),
    instead("session-use-file-storage", "sessions are rows of the registry").recalled(),
    honoured("ssl-certificate", "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem").recalled(),
    honoured("ssl-certificate-key", "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem").recalled(),
    honoured("ssl-hsts", "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\nssl-hsts=0").recalled(),
    honoured(
        "ssl-hsts-include-subdomains",
        "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\nssl-hsts-include-subdomains=1",
    )
    .recalled(),
    honoured(
        "ssl-hsts-max-age",
        "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\nssl-hsts-max-age=60",
    )
    .recalled(),
    honoured(
        "ssl-protocols",
        "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\nssl-protocols=TLSv1.3",
    )
    .recalled(),
    honoured(
        "ssl-redirect-http",
        "ssl-enabled=1\nssl-certificate=/c.pem\nssl-certificate-key=/k.pem\nssl-redirect-http=0",
    )
    .recalled(),
    instead("workbench-api-admin-enabled", API).recalled(),
    instead("workbench-api-enabled", API).recalled(),
    instead("workbench-api-super-admin-enabled", API).recalled(),
    instead("www-allow-origin", ORIGIN).recalled(),
    instead("www-enable-origin-check", ORIGIN).recalled(),
    instead("www-frame-origin", "no page of the daemon's is shown in a frame of another site").recalled(),
    instead("www-local-path", "the daemon's pages are part of the program").recalled(),
    instead(
        "www-proxy-localhost",
        "what listens on the node is reached by its program: Jupyter and VS Code pass ports on",
    )
    .recalled(),
    instead("www-same-site", "cookies are always SameSite=Lax").recalled(),
    instead("www-symbol-maps-path", "the daemon's pages are part of the program").recalled(),
    instead("www-thread-pool-size", "there is no pool to be sized: a connection takes no thread").recalled(),
    instead("www-url-path-prefix", "serve it under a host name of its own").recalled(),
    instead("www-verify-user-agent", "any browser is let in").recalled(),
];
