//! A configuration of Posit Workbench, imported as the page on multi-server installations has it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use evenkeel_tests::binaries;
use serde_json::Value;

/// The files of the page's section "Configuration files", with what stands there before anybody edits them.
fn seed(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("shared"))?;
    let shared = format!("server-shared-storage-path={}", directory.join("shared").display());
    let files = [
        ("rserver.conf", format!("# Server Configuration File\n\nlauncher-address=127.0.0.1\nlauncher-port=5559\nlauncher-sessions-enabled=1\nlauncher-default-cluster=Local\nload-balancing-enabled=1\nwww-port=8787\n{shared}\n")),
        ("launcher.conf", "[server]\naddress=0.0.0.0\nport=5559\nserver-user=rstudio-server\nadmin-group=rstudio-server\nauthorization-enabled=1\n\n[cluster]\nname=Local\ntype=Local\n".to_owned()),
        ("database.conf", "provider=postgresql\npassword=w37ut0qFvTCN8LFpx+n1rwhYmOUDWiKFAbpd2ynxTlQSwWsDz6pZRHKRJ06k5ZNu\nconnection-uri=postgresql://rstudio@localhost:5432/rstudio?sslmode=allow\n".to_owned()),
        ("load-balancer", "balancer=sessions\nwww-host-name=left.example:8787\n".to_owned()),
        ("jupyter.conf", "labs-enabled=1\nnotebooks-enabled=1\n".to_owned()),
        ("vscode.conf", "enabled=1\n".to_owned()),
        ("logging.conf", "[*]\nlog-level=warn\nlogger-type=syslog\n".to_owned()),
        ("rsession.conf", "session-timeout-minutes=60\n".to_owned()),
        ("profiles", "[*]\nsession-limit=3\n".to_owned()),
        ("secure-cookie-key", "b0b7c9a2-0000-4000-8000-aaaaaaaaaaaa\n".to_owned()),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
        fs::set_permissions(directory.join(name), Permissions::from_mode(0o644))?;
    }
    fs::set_permissions(directory.join("profiles"), Permissions::from_mode(0o666))?;
    Ok(())
}

fn everything(directory: &Path) -> Result<Vec<(String, Vec<u8>, std::time::SystemTime)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            all.push((path.display().to_string(), fs::read(&path)?, path.metadata()?.modified()?));
        }
    }
    all.sort();
    Ok(all)
}

fn run(arguments: &[&str], data: &Path) -> Result<Output> {
    // Wherever this runs, its own configuration is not meant.
    let command = &mut Command::new(binaries::find("evenkeel")?);
    Ok(command.args(arguments).env("XDG_DATA_HOME", data).output()?)
}

#[test]
fn a_seed_configuration_is_copied_annotated_and_good_and_the_source_untouched() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (source, to) = (root.path().join("rstudio"), root.path().join("evenkeel"));
    seed(&source)?;
    let before = everything(&source)?;
    let [source_text, to_text] = [&source, &to].map(|path| path.to_str().unwrap_or_default());
    let output = run(&["import", source_text, "--to", to_text, "--www-port", "8790"], root.path())?;
    let told = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(everything(&source)? == before, "the source has changed");
    assert!(told.contains("Not read here, and not copied: secure-cookie-key, shared"), "{told}");
    assert!(!told.contains("A start would be refused"), "{told}");
    assert!(told.contains("database.conf:") && told.contains("evenkeel encrypt-password"), "{told}");

    let mode = |name: &str| Ok::<_, anyhow::Error>(to.join(name).metadata()?.permissions().mode() & 0o777);
    assert_eq!((mode("database.conf")?, mode("rserver.conf")?, mode("profiles")?), (0o600, 0o644, 0o644));
    let server = fs::read_to_string(to.join("rserver.conf"))?;
    assert!(server.contains("\nwww-port=8790\n") && server.contains("\n#launcher-port=5559\n"), "{server}");
    let balancer = fs::read_to_string(to.join("load-balancer"))?;
    assert!(balancer.contains("\nwww-host-name=left.example:8790\n"), "{balancer}");
    assert!(!to.join("secure-cookie-key").exists());

    let data = root.path().join("data");
    let data_text = data.to_str().context("a path")?;
    let check = run(&["config", "check", "--json", "--config-dir", to_text, "--data-dir", data_text], root.path())?;
    let found: Value = serde_json::from_slice(&check.stdout)?;
    assert_eq!((check.status.code(), &found["errors"]), (Some(0), &Value::Array(Vec::new())), "{found}");
    assert_eq!(found["warnings"], Value::Array(Vec::new()), "{found}");
    Ok(())
}

#[test]
fn nothing_that_is_there_is_written_to() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (source, to) = (root.path().join("rstudio"), root.path().join("evenkeel"));
    seed(&source)?;
    fs::create_dir(&to)?;
    fs::write(to.join("vscode.conf"), "exe=/opt/code\n")?;
    let before = everything(&to)?;
    let [source_text, to_text] = [&source, &to].map(|path| path.to_str().unwrap_or_default());
    for (source, why) in
        [(source_text, "vscode.conf: is there already"), (to_text, "is there already"), ("/proc/none", "no file")]
    {
        let output = run(&["import", source, "--to", to_text], root.path())?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(why) && told.lines().count() == 1, "{told}");
        assert!(everything(&to)? == before);
    }
    Ok(())
}
