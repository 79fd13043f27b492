//! The child, and what becomes of one that does not do as it should. Real PAM, with real users, is asked by the whole-system
//! tests; here it is asked about one who is not there.

use std::time::{Duration, Instant};

use super::{Cause, LONGEST_USER, Pam, PamError, Password, Verdict, is_name, main};

const LONG: Duration = Duration::from_secs(60);

/// A check by this program, which runs one test of its own.
fn real(service: &str) -> Pam {
    let arguments = ["--exact", "pam::tests::as_a_child", "--ignored", "--nocapture"].map(Into::into).into();
    Pam { arguments, ..Pam::new(std::env::current_exe().expect("this program"), service, LONG) }
}

/// A child that does what a shell says. `$answer` writes to the daemon, `$take` reads what it said.
fn shell(script: &str, limit: Duration) -> Pam {
    let prelude = "take() { cat <&0 >/dev/null; }; answer() { printf '%s\\n' \"$1\" >&0; }; ";
    let arguments = vec!["-c".into(), format!("{prelude}{script}").into()];
    Pam { arguments, ..Pam::new("/bin/sh", "test", limit) }
}

async fn ask(pam: &Pam) -> Result<Verdict, PamError> {
    pam.check("ada", Password::from("secret"), None).await
}

#[test]
#[ignore = "run by the tests here, as the child that checks"]
fn as_a_child() {
    let _ = main();
}

#[tokio::test]
async fn whom_nobody_knows_is_refused_by_the_real_library() {
    let pam = real("other");
    let client = Some([192, 0, 2, 1].into());
    let verdict = pam.check("ek-pam-nobody-has-this", Password::from("secret"), client).await;
    assert_eq!(verdict, Ok(Verdict::Refused));
}

#[tokio::test]
async fn names_and_passwords_that_nobody_has_do_not_reach_pam() {
    let pam = Pam::new("/nonexistent/evenkeel", "other", LONG);
    for name in ["", "-r", "a:b", "../a", "a\nb", "a\0b", &"a".repeat(LONGEST_USER + 1)] {
        assert_eq!(pam.check(name, Password::from("secret"), None).await, Ok(Verdict::Refused), "{name:?}");
    }
    for password in ["", "a\0b", &"a".repeat(Password::LONGEST + 1)] {
        assert_eq!(pam.check("ada", Password::from(password), None).await, Ok(Verdict::Refused));
    }
    assert!(is_name("ada") && is_name("EXAMPLE\\ada") && is_name("ada@example.org") && is_name("Ada Lovelace"));
    let error = ask(&pam).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the PAM service other: /nonexistent/evenkeel cannot be started: No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn every_verdict_comes_back_as_it_was_given() {
    let closed = Verdict::Closed { cause: Cause::AccountExpired, texts: vec!["no %s".to_owned()] };
    for verdict in [Verdict::Accepted { user: "ada".to_owned() }, Verdict::Refused, closed] {
        let line = serde_json::to_string(&Ok::<_, String>(verdict.clone())).unwrap();
        assert_eq!(ask(&shell(&format!("take; answer '{line}'"), LONG)).await, Ok(verdict));
    }
}

#[tokio::test]
async fn the_password_goes_by_the_socket_alone() {
    // The script itself does not have the word.
    let script = "said=$(tail -c 6 <&0 | rev); seen=$(tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' ' ' < /proc/$$/environ); \
         case \"$seen\" in *$(echo \"$said\" | rev)*) said='in sight' ;; esac; answer '{\"Err\":\"'\"$said\"'\"}'";
    assert!(ask(&shell(script, LONG)).await.unwrap_err().to_string().ends_with(": terces"));
}

#[tokio::test]
async fn one_that_hangs_is_killed_with_all_that_it_started_and_gives_its_slot_back() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let script = format!("setsid sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let pam = shell(&script, Duration::from_millis(1500));
    let error = ask(&pam).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the PAM service test gave no answer within 1.5 s; auth-pam-timeout says how long it may take"
    );
    let pid = std::fs::read_to_string(pid).unwrap();
    let path = format!("/proc/{}/stat", pid.trim());
    let start = Instant::now();
    // A killed process that waits to be reaped by the system's first is as good as gone.
    while std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(start.elapsed() < LONG, "{path} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while pam.slots.available_permits() < super::AT_ONCE {
        assert!(start.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_that_breaks_down_or_talks_nonsense_is_an_error_that_says_so() {
    for (script, problem) in [
        ("take; kill -SEGV $$", "a module broke down (SIGSEGV)"),
        ("take; exit 3", "a module ended the check (exit status: 3)"),
        ("take; answer nonsense; exec sleep 1000", "a module broke off the check"),
        ("take; answer '{\"Err\":\"it is\\u001b[31m broken\"}'", "it is [31m broken"),
    ] {
        let error = ask(&shell(script, LONG)).await.unwrap_err();
        assert_eq!(error, PamError::Failed { service: "test".to_owned(), problem: problem.to_owned() }, "{script}");
    }
}

#[tokio::test]
async fn only_so_many_are_checked_at_once() {
    let mut pam = shell("take; answer '{\"Ok\":\"Refused\"}'", LONG);
    pam.turn = Duration::from_millis(50);
    let all = pam.slots.clone().acquire_many_owned(u32::try_from(super::AT_ONCE).unwrap()).await.unwrap();
    assert_eq!(ask(&pam).await, Err(PamError::Busy));
    drop(all);
    assert_eq!(ask(&pam).await, Ok(Verdict::Refused));
}

#[test]
fn a_password_is_never_printed() {
    assert_eq!(format!("{:?}", Password::from("secret")), "Password(…)");
}
