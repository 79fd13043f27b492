//! Whole directories of files, and what they come to.

use super::*;

fn load_files(files: &[(&str, &str)]) -> (Option<Config>, Vec<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let flags = Flags { config_dir: Some(dir.path().to_owned()), ..Flags::default() };
    let (config, problems) = load(&flags, &Surroundings::of_ada());
    let prefix = format!("{}/", dir.path().display());
    (config, problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect(), dir)
}

#[test]
fn without_any_configuration_a_daemon_serves_loopback_from_the_users_own_directories() {
    let flags = Flags { config_dir: None, ..Flags::default() };
    let (config, problems) = load(&flags, &Surroundings::of_ada());
    let config = config.unwrap();
    assert!(problems.is_empty());
    assert_eq!(config.data_dir, Path::new("/home/ada/.local/share/evenkeel"));
    assert_eq!(config.runtime_dir.parent(), Some(Path::new("/run/user/1000/evenkeel")));
    assert_eq!(config.key_places.path(), Path::new("/home/ada/.local/share/evenkeel/secure-cookie-key"));
    assert_eq!(config.plugins_dir, Path::new("/home/ada/.local/share/evenkeel/plugins"));
    assert_eq!((config.www_address.to_string(), config.www_port), ("127.0.0.1".to_owned(), 8787));
    assert_eq!((config.balancer.as_str(), config.node_name.as_str()), ("sessions", "n1"));
}

#[test]
fn files_are_read_under_their_legacy_names() {
    let (config, problems, _dir) = load_files(&[
        (
            "rserver.conf",
            "www-port=8080\nnode-name=left\nnode-label-gpu=a100\nnode-capacity=3\n\
             resolve-load-balancer-nodes=1\nserver-user=balancer\n",
        ),
        (
            "load-balancer",
            "balancer = system-load\nplugins-dir=/srv/plugins\nwww-host-name=left.example:80\n\
             balancer-script=/srv/pick\nbalancer-timeout=3\n[balancer system-load]\nexpected-load=0\n",
        ),
        ("database.conf", "provider=sqlite\ndirectory=/srv/store\n"),
    ]);
    let config = config.unwrap();
    assert_eq!(problems, [""; 0]);
    assert_eq!((config.www_port, config.node_name.as_str(), config.capacity), (8080, "left", Some(3)));
    assert_eq!(config.www_address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(config.labels, BTreeMap::from([("gpu".to_owned(), "a100".to_owned())]));
    assert_eq!(config.balancer_settings["system-load"]["expected-load"], "0");
    assert_eq!(config.plugins_dir, Path::new("/srv/plugins"));
    assert_eq!(config.balancer_script.as_deref(), Some(Path::new("/srv/pick")));
    assert_eq!((config.script_timeout, config.resolve_nodes), (Duration::from_secs(3), true));
    assert_eq!(config.server_user.as_deref(), Some("balancer"));
    assert_eq!(config.database_directory, Path::new("/srv/store"));
    assert_eq!(config.key_places.path(), Path::new("/srv/store/secure-cookie-key"));
}

#[test]
fn the_oldest_form_of_the_load_balancer_file_is_read() {
    let (config, problems, _dir) = load_files(&[("load-balancer", "[config]\nbalancer = user-hash\n")]);
    assert_eq!((config.unwrap().balancer.as_str(), problems.len()), ("user-hash", 0));
    let twice = "balancer = sessions\n[config]\nbalancer = user-hash\n";
    let (config, problems, _dir) = load_files(&[("load-balancer", twice)]);
    let told = "load-balancer:1: balancer is given again on line 3, and that one holds";
    assert_eq!((config.unwrap().balancer.as_str(), problems), ("user-hash", vec![told.to_owned()]));
}

#[test]
fn what_stands_below_a_section_in_a_file_without_is_told_of_and_a_registry_is_not_another_for_it() {
    let (config, problems, _dir) =
        load_files(&[("rserver.conf", "www-port=1\n[server]\nwww-port=2\nwww-address=::\n")]);
    let told = "rserver.conf:3: this file has no sections, and what follows [server] is not read; take that line out";
    assert_eq!((config.unwrap().www_port, problems), (1, vec![told.to_owned()]));
    let registry = "[database]\nprovider=postgresql\nconnection-uri=postgresql://a@b/c\n";
    let (config, problems, _dir) = load_files(&[("database.conf", registry)]);
    assert!(config.is_none(), "it would be one in SQLite");
    assert!(problems[0].contains("what follows [database] is not read"), "{problems:?}");
}

#[test]
fn a_directory_that_is_passed_over_is_told_of_and_one_that_is_not_mounted_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (legacy, missing) = (directory.path().join("rstudio"), directory.path().join("evenkeel"));
    assert!(passed_over(None, &legacy).is_none());
    std::fs::create_dir(&legacy).unwrap();
    let told = passed_over(None, &legacy).expect("a warning");
    assert_eq!(told.severity, Severity::Warning);
    assert!(told.message.contains("nothing of it is read"), "{told}");
    assert!(passed_over(Some(&legacy), &legacy).is_none());

    let mut problems = Vec::new();
    assert_eq!((usual_config_dir(&missing, &mut problems), problems.len()), (None, 0));
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &missing).unwrap();
    assert_eq!((usual_config_dir(&missing, &mut problems), problems.len()), (None, 1));
    assert_eq!((usual_config_dir(&legacy, &mut Vec::new())), Some(legacy));
}

#[test]
fn where_the_key_is_cannot_be_told_from_a_file_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let flags = Flags {
        config_dir: Some(directory.path().to_owned()),
        data_dir: Some(directory.path().to_owned()),
        ..Flags::default()
    };
    let surroundings = Surroundings::of_ada();
    let file = directory.path().join("rserver.conf");
    std::fs::create_dir(&file).unwrap();
    let problems = key_places(&flags, &surroundings).unwrap_err();
    assert!(problems[0].message.starts_with("cannot be read"), "{problems:?}");
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, "secure-cookie-key-file=/srv/key\n").unwrap();
    assert_eq!(key_places(&flags, &surroundings).unwrap().path(), Path::new("/srv/key"));
}

#[test]
fn a_cluster_with_shared_storage_has_one_plugins_directory_and_that_storage_must_be_there() {
    let storage = tempfile::tempdir().unwrap();
    let file = |path: &Path| format!("server-shared-storage-path={}\n", path.display());
    let (config, problems, _dir) = load_files(&[("rserver.conf", &file(storage.path()))]);
    assert_eq!((config.unwrap().plugins_dir, problems.len()), (storage.path().join("plugins"), 0));
    let missing = storage.path().join("missing");
    let (config, problems, _dir) = load_files(&[("rserver.conf", &file(&missing))]);
    let expected = "a directory that is there (is it mounted?)";
    let told =
        format!("rserver.conf:1: server-shared-storage-path: expected {expected}, found `{}`", missing.display());
    assert_eq!((config, problems), (None, vec![told]));
}

#[test]
fn the_oldest_form_of_the_load_balancer_file_lists_nodes_that_register_themselves_now() {
    let text = "[config]\nbalancer = user-hash\n\n[nodes]\nleft.example\nright.example:8788\ntimeout=3\n";
    let told = [
        "load-balancer:5: [nodes] has no effect here: nodes register themselves (left.example, right.example:8788); \
         www-host-name says where one is reached",
        "load-balancer:7: timeout is not read here: settings stand before [nodes], or below [config]",
    ];
    let (config, problems, _dir) = load_files(&[("load-balancer", text), ("database.conf", "single-machine=1\n")]);
    assert_eq!((config.unwrap().balancer.as_str(), problems), ("user-hash", told.map(str::to_owned).to_vec()));
    let (config, problems, _dir) = load_files(&[("load-balancer", text)]);
    assert!(config.is_none());
    assert!(problems[2].starts_with("load-balancer:6: a second node wants a registry that every node"), "{problems:?}");
    // Who says that there is no cluster is believed.
    let (config, _, _dir) = load_files(&[("load-balancer", text), ("rserver.conf", "load-balancing-enabled=0\n")]);
    assert!(config.is_some());
}

#[test]
fn a_launcher_for_another_scheduler_ends_the_start() {
    for scheduler in ["Slurm", "Kubernetes"] {
        let text = format!("[server]\naddress=0.0.0.0\n[cluster]\nname=c\ntype=Local\n[cluster]\ntype={scheduler}\n");
        let (config, problems, _dir) = load_files(&[("launcher.conf", &text)]);
        assert!(config.is_none());
        let told =
            format!("launcher.conf:7: type={scheduler} cannot be had in this version: sessions run on the nodes of");
        assert!(problems.iter().any(|problem| problem.starts_with(&told)), "{problems:?}");
    }
}

#[test]
fn a_balancers_section_has_its_own_settings_and_what_the_host_grants_it() {
    let (config, problems, _dir) = load_files(&[(
        "load-balancer",
        "balancer-shadow=mine\nplugins-sha256=AA, bb\n[balancer mine]\nbalancer-memory-mb=128\nscheme=x\nbalancer-memroy-mb=1\n",
    )]);
    assert!(config.is_none());
    assert_eq!(
        problems[0],
        "load-balancer:2: plugins-sha256: expected SHA-256 digests of 64 hexadecimal digits, separated by commas, found `AA, bb`"
    );
    assert_eq!(
        problems[1],
        "load-balancer:6: there is no setting balancer-memroy-mb; did you mean balancer-memory-mb?"
    );
    let digest = "A".repeat(64);
    let text = format!(
        "plugins-sha256={digest}\n[balancer mine]\nbalancer-memory-mb=128\nbalancer-fallback=refuse\nscheme=x\n"
    );
    let (config, problems, _dir) = load_files(&[("load-balancer", &text)]);
    let config = config.unwrap();
    assert_eq!((problems, config.plugins_sha256), (Vec::new(), vec![digest.to_lowercase()]));
    assert_eq!(config.balancer_settings["mine"], BTreeMap::from([("scheme".to_owned(), "x".to_owned())]));
    let options = &config.balancer_options["mine"];
    assert_eq!((options.memory, options.fallback.as_deref()), (Some(128 << 20), Some("refuse")));
}

#[test]
fn a_section_is_the_same_however_its_words_are_spaced() {
    let text = "[balancer mine]\nscheme=x\nbalancer-memory-mb=8\n[ balancer   mine ]\nlabel=y\nscheme=z\n";
    let (config, _problems, _dir) = load_files(&[("load-balancer", text)]);
    let config = config.unwrap();
    let settings = [("label".to_owned(), "y".to_owned()), ("scheme".to_owned(), "z".to_owned())];
    assert_eq!(config.balancer_settings, BTreeMap::from([("mine".to_owned(), BTreeMap::from(settings))]));
    assert_eq!(config.balancer_options["mine"].memory, Some(8 << 20));
}

#[test]
fn all_errors_are_found_at_once_with_file_and_line() {
    let (config, problems, _dir) = load_files(&[
        ("rserver.conf", "www-port=http\nssl-protocols=TLSv1.1\n"),
        ("load-balancer", "balancer-timeout-ms=0\n"),
        ("launcher.conf", "[cluster]\ntype=Slurm\n"),
        ("database.conf", "provider=oracle\n"),
    ]);
    assert!(config.is_none());
    assert_eq!(
        problems,
        [
            "rserver.conf:1: www-port: expected a port from 0 to 65535, found `http`",
            "rserver.conf:2: ssl-protocols: expected TLSv1.2, TLSv1.3 or both (older ones are not to be had), found `TLSv1.1`",
            "load-balancer:1: balancer-timeout-ms: expected a whole number from 1 to 10000, found `0`",
            "database.conf:1: provider: expected sqlite or postgresql, found `oracle`",
            "launcher.conf:2: type=Slurm cannot be had in this version: sessions run on the nodes of this cluster alone, \
             and are never started elsewhere than was asked; take the section out to have them here",
        ]
    );
}

#[test]
fn unknown_and_repeated_names_are_warned_of() {
    let (config, problems, _dir) =
        load_files(&[("rserver.conf", "www-prot=1\nwww-port=2\nwww-port=3\nmetrics-enabled=1\nzzz=1\n")]);
    assert_eq!(config.unwrap().www_port, 3);
    assert_eq!(
        problems,
        [
            "rserver.conf:2: www-port is given again on line 3, and that one holds",
            "rserver.conf:1: there is no setting www-prot; did you mean www-port?",
            "rserver.conf:4: metrics-enabled has no effect here: there is no page of metrics in this version; \
             GET /api/v1/nodes has the numbers of every node",
            "rserver.conf:5: there is no setting zzz",
        ]
    );
}
