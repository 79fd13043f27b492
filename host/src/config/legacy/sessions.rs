//! What users have, and the editors they have it in: `rsession.conf`, `profiles`, `jupyter.conf`, `vscode.conf`.

use super::{Name, honoured, instead};

const RSTUDIO: &str =
    "it is RStudio's own: RStudio Server reads a file that --rsession-config-file of kinds/rstudio.toml names";
const TIMEOUTS: &str = "session-timeout-minutes says when a session that nobody uses is suspended";
const ALL_SESSIONS: &str = "what becomes of idle sessions is said for all users, in rsession.conf";
const UNIT_LIMITS: &str = "limits.conf, or pam_limits at sign-in, bounds what a user's processes may have";
const CLUSTERS: &str = "there is one cluster, this one; node-label-KEY and [labels] of a kind choose among its nodes";
const CONTAINERS: &str = "sessions run on the nodes themselves, not in containers";
const NO_PROFILE: &str = "session-login-shell=0 in rserver.conf starts programs without the profile of their user";
const GPUS: &str = "label the nodes that have some (node-label-gpu=…), and give a kind [labels] that ask for them";

pub(super) const RSESSION: &[Name] = &[
    honoured("session-timeout-kill-hours", "session-timeout-kill-hours=48"),
    honoured("session-timeout-minutes", "session-timeout-minutes=30"),
    honoured("session-timeout-suspend", "session-timeout-suspend=0"),
    // From memory.
    instead("allow-external-publish", RSTUDIO).recalled(),
    instead("allow-file-downloads", RSTUDIO).recalled(),
    instead("allow-file-uploads", RSTUDIO).recalled(),
    instead("allow-package-installation", RSTUDIO).recalled(),
    instead("allow-publish", RSTUDIO).recalled(),
    instead("allow-shell", RSTUDIO).recalled(),
    instead("allow-terminal-websockets", RSTUDIO).recalled(),
    instead("allow-vcs", RSTUDIO).recalled(),
    instead("copilot-enabled", RSTUDIO).recalled(),
    instead("default-rsconnect-server", RSTUDIO).recalled(),
    instead("limit-cpu-time-minutes", UNIT_LIMITS).recalled(),
    instead("limit-file-upload-size-mb", RSTUDIO).recalled(),
    instead("limit-xfs-disk-quota", "the file system's own quotas hold").recalled(),
    instead("r-cran-repos", RSTUDIO).recalled(),
    instead("r-cran-repos-file", RSTUDIO).recalled(),
    instead("r-libs-user", RSTUDIO).recalled(),
    instead(
        "session-connections-block-suspend",
        "a program that is at work is not suspended: [activity] of its kind says when it is",
    )
    .recalled(),
    instead("session-default-new-project-dir", RSTUDIO).recalled(),
    instead("session-default-working-dir", "sessions start in their user's home").recalled(),
    instead("session-disconnected-timeout-minutes", TIMEOUTS).recalled(),
    instead(
        "session-external-pointers-block-suspend",
        "a program that is at work is not suspended: [activity] of its kind says when it is",
    )
    .recalled(),
    instead("session-first-project-template-path", RSTUDIO).recalled(),
    instead("session-handle-offline-enabled", RSTUDIO).recalled(),
    instead(
        "session-quit-child-processes-on-exit",
        "nothing that a session has started outlives it where there are control groups",
    )
    .recalled(),
    instead("session-save-action-default", RSTUDIO).recalled(),
    instead("session-show-user-home-page", "the home page always shows a user's sessions").recalled(),
    instead("websocket-log-level", RSTUDIO).recalled(),
    instead("websocket-ping-seconds", RSTUDIO).recalled(),
];

pub(super) const PROFILES: &[Name] = &[
    honoured("session-limit", "[*]\nsession-limit=3").under("*"),
    honoured("max-memory-mb", "[*]\nmax-memory-mb=2048").under("*").recalled(),
    instead("cpu-affinity", "cpus, which a control group enforces, bounds the processors of a session")
        .under("*")
        .recalled(),
    instead("limit-cpu-time-minutes", UNIT_LIMITS).under("*").recalled(),
    instead("max-open-files", UNIT_LIMITS).under("*").recalled(),
    instead("max-processes", "rsession-process-limit in rserver.conf bounds the processes of every user")
        .under("*")
        .recalled(),
    instead("nice", "cpus, which a control group enforces, bounds the processors of a session").under("*").recalled(),
    instead("r-version", "RStudio Server finds R on the search path, or by RSTUDIO_WHICH_R in kinds/rstudio.toml")
        .under("*")
        .recalled(),
    instead("session-timeout-kill-hours", ALL_SESSIONS).under("*"),
    instead("session-timeout-minutes", ALL_SESSIONS).under("*"),
    instead("session-timeout-suspend", ALL_SESSIONS).under("*"),
];

pub(super) const RESOURCES: &[Name] = &[
    honoured("cpus", "[small]\ncpus=0.5").under("small").recalled(),
    honoured("mem-mb", "[small]\nmem-mb=512").under("small").recalled(),
    honoured("name", "[small]\nname=A small one").under("small").recalled(),
    instead("amd-gpus", GPUS).under("small").recalled(),
    instead("nvidia-gpus", GPUS).under("small").recalled(),
    instead("partition", CLUSTERS).under("small").recalled(),
    instead("placement-constraints", CLUSTERS).under("small").recalled(),
];

pub(super) const JUPYTER: &[Name] = &[
    honoured("jupyter-exe", "jupyter-exe=/opt/jupyter/bin/jupyter").recalled(),
    honoured("labs-enabled", "labs-enabled=0").recalled(),
    honoured("notebooks-enabled", "notebooks-enabled=0").recalled(),
    honoured("session-cull-minutes", "session-cull-minutes=60"),
    honoured("session-shutdown-minutes", "session-shutdown-minutes=5").recalled(),
    instead("default-session-cluster", CLUSTERS).recalled(),
    instead("default-session-container-image", CONTAINERS).recalled(),
    instead("lab-version", "the program itself is asked for its version").recalled(),
    instead("notebook-version", "the program itself is asked for its version").recalled(),
    instead("session-clusters", CLUSTERS).recalled(),
    instead("session-container-images", CONTAINERS).recalled(),
    instead("session-no-profile", NO_PROFILE).recalled(),
];

pub(super) const VSCODE: &[Name] = &[
    honoured("args", "args=--verbose --extensions-dir=/opt/extensions").recalled(),
    honoured("enabled", "enabled=0").recalled(),
    honoured("exe", "exe=/opt/code-server/bin/code-server").recalled(),
    instead("default-session-cluster", CLUSTERS).recalled(),
    instead("default-session-container-image", CONTAINERS).recalled(),
    instead("session-clusters", CLUSTERS).recalled(),
    instead("session-container-images", CONTAINERS).recalled(),
    instead("session-no-profile", NO_PROFILE).recalled(),
    instead("session-timeout-kill-hours", ALL_SESSIONS).recalled(),
];
