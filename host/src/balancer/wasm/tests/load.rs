//! What is refused before it decides anything.

use std::collections::BTreeMap;

use super::{
    Guest, engine,
    guests::{answer, embed, refusal},
    load, patient, question,
};
use crate::balancer::{
    Balancer,
    wasm::{Import, Limits, LoadError, WasmBalancer},
};

fn load_bytes(bytes: &[u8]) -> Result<WasmBalancer, LoadError> {
    WasmBalancer::load(&engine(), "guest", bytes, BTreeMap::new(), patient())
}

fn with_settings(guest: &Guest, settings: &[(&str, &str)]) -> Result<WasmBalancer, LoadError> {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    WasmBalancer::load(&engine(), "guest", &guest.bytes(), settings, patient())
}

/// Declares the setting `step`, default `1`, help `how far`.
fn declaring() -> Guest {
    let settings = "(i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 1))
        (i32.store (i32.const 512) (i32.const 256)) (i32.store (i32.const 516) (i32.const 4))
        (i32.store8 (i32.const 520) (i32.const 1))
        (i32.store (i32.const 524) (i32.const 260)) (i32.store (i32.const 528) (i32.const 1))
        (i32.store (i32.const 532) (i32.const 261)) (i32.store (i32.const 536) (i32.const 7))";
    Guest { settings: settings.to_owned(), ..Guest::default() }.with_data(256, "step1how far")
}

#[test]
fn a_setting_that_the_balancer_does_not_declare_is_refused_with_those_it_does() {
    let error = with_settings(&declaring(), &[("stride", "2")]).expect_err("unknown").to_string();
    assert_eq!(error, "there is no setting stride; there are step (default 1): how far");
    let error = with_settings(&Guest::default(), &[("stride", "2")]).expect_err("unknown").to_string();
    assert_eq!(error, "there is no setting stride; there are none");
}

#[test]
fn a_setting_has_its_default_until_it_is_set() {
    assert_eq!(with_settings(&declaring(), &[]).expect("it loads").settings["step"], "1");
    assert_eq!(with_settings(&declaring(), &[("step", "2")]).expect("it loads").settings["step"], "2");
}

#[test]
fn a_guest_reads_its_settings() {
    // Answers with the node whose digit is the setting.
    let guest = Guest {
        rank: "(call $get (i32.const 256) (i32.const 4) (i32.const 128))
            (if (i32.eqz (i32.load8_u (i32.const 128))) (then unreachable))
            (i32.store (i32.const 1024) (i32.sub (i32.load8_u (i32.load (i32.const 132))) (i32.const 48)))
            (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 1))"
            .to_owned(),
        ..declaring()
    }
    .importing("settings", "get", "(param i32 i32 i32)");
    let order = |settings: &[(&str, &str)]| {
        with_settings(&guest, settings).expect("it loads").rank(&question(3)).expect("an answer").order
    };
    assert_eq!(order(&[]), [1]);
    assert_eq!(order(&[("step", "2")]), [2]);
}

#[test]
fn a_value_that_the_balancer_refuses_is_shown_with_the_settings_it_has() {
    let check = "(i32.store8 (i32.const 32) (i32.const 1))
        (i32.store (i32.const 36) (i32.const 300)) (i32.store (i32.const 40) (i32.const 12))";
    let refusing = |guest: Guest| Guest { check: check.to_owned(), ..guest }.with_data(300, "step is\\0aodd!");
    let error = with_settings(&refusing(declaring()), &[("step", "3")]).expect_err("refused").to_string();
    assert_eq!(error, "its settings are refused: step is odd!; there are step (default 1): how far");
    let error = load(&refusing(Guest::default())).expect_err("refused").to_string();
    assert_eq!(error, "its settings are refused: step is odd!; there are none");
}

#[test]
fn a_check_that_traps_is_shown() {
    let guest = Guest { check: "unreachable".to_owned(), ..Guest::default() };
    let error = load(&guest).expect_err("it fails").to_string();
    assert_eq!(error, "it failed when it was loaded: it stopped itself");
}

#[test]
fn a_foreign_import_of_a_module_is_refused_by_name() {
    let guest = Guest { imports: "(import \"env\" \"getenv\" (func (param i32)))".to_owned(), ..Guest::default() };
    let error = load(&guest).expect_err("refused").to_string();
    assert!(error.contains("env"), "{error}");
}

#[test]
fn a_foreign_import_of_a_component_is_refused_by_name() {
    for import in
        ["wasi:http/types@0.2.0", "wasi:cli/environment@0.3.0", "wasi:cli/environment", "acme:files/all@1.0.0"]
    {
        let text = format!("(component (import \"{import}\" (instance (export \"get\" (func (result string))))))");
        let error = load_bytes(&wat::parse_str(text).expect("a component")).expect_err("refused");
        assert_eq!(error, LoadError::Import(import.to_owned()));
        assert!(error.to_string().contains(&format!("imports {import}, which")), "{error}");
    }
}

#[test]
fn an_import_of_the_contract_that_does_not_exist_is_refused_by_name() {
    let text = "(component (import \"evenkeel:balancer/files@1.0.0\" (instance)))";
    let error = load_bytes(&wat::parse_str(text).expect("a component")).expect_err("refused");
    assert_eq!(error, LoadError::Import("evenkeel:balancer/files@1.0.0".to_owned()));
}

#[test]
fn a_later_function_of_the_contract_is_refused_by_name() {
    let text = "(component (import \"evenkeel:balancer/nodes@1.9.0\" (instance
        (export \"moon-phases\" (func (result (list u32)))))) 
        (instance $policy) (export \"evenkeel:balancer/policy@1.9.0\" (instance $policy)))";
    let error = load_bytes(&wat::parse_str(text).expect("a component")).expect_err("refused").to_string();
    assert!(error.contains("evenkeel:balancer/nodes@1.9.0") && error.contains("moon-phases"), "{error}");
}

#[test]
fn a_later_minor_version_is_taken_where_its_functions_exist() {
    let guest = Guest { version: "1.4.2", ..Guest::ranking("") }.importing("nodes", "sessions", "(param i32)");
    let guest = Guest { rank: format!("(call $sessions (i32.const 128)){}", answer(&[2])), ..guest };
    let balancer = load(&guest).expect("it loads");
    assert_eq!(balancer.rank(&question(3)).expect("an answer").order, [2]);
    assert_eq!(balancer.contract(), Some("1.4.2"), "its own, not the host's");
    let import =
        Import { interface: "evenkeel:balancer/nodes@1.4.2".to_owned(), functions: vec!["sessions".to_owned()] };
    assert_eq!(balancer.imports(), [import]);
}

#[test]
fn another_major_version_is_refused_before_anything_runs() {
    for version in ["2.0.0", "0.9.0"] {
        let guest = Guest { version, items: "(func $begin unreachable) (start $begin)".to_owned(), ..Guest::default() };
        let error = load(&guest).expect_err("refused");
        assert_eq!(error, LoadError::Version { found: version.to_owned() });
    }
}

#[test]
fn a_module_without_a_component_type_is_refused() {
    let error = load_bytes(&Guest::default().core()).expect_err("refused").to_string();
    assert!(error.contains("not a balancer") || error.contains("not valid"), "{error}");
}

#[test]
fn a_component_without_a_policy_is_refused() {
    let empty = wat::parse_str("(component)").expect("a component");
    assert_eq!(load_bytes(&empty).expect_err("refused"), LoadError::NoPolicy);
}

#[test]
fn a_module_that_is_too_large_is_refused_unread() {
    let limits = Limits { module: 10, ..patient() };
    let error = WasmBalancer::load(&engine(), "guest", &[0; 11], BTreeMap::new(), limits).expect_err("refused");
    assert_eq!(error, LoadError::TooLarge { size: 11, limit: 10 });
}

#[test]
fn what_is_not_wasm_is_refused() {
    for bytes in [&b""[..], b"\0", b"\0asm", b"#!/bin/sh\necho node1\n", b"\x7fELF\x02\x01\x01\0", b"(component)"] {
        assert_eq!(load_bytes(bytes).expect_err("refused"), LoadError::NotWasm);
    }
}

#[test]
fn a_module_that_was_cut_off_anywhere_is_refused() {
    let engine = engine();
    let whole = Guest::ranking(refusal(1, 0, 0)).bytes();
    for length in 0..whole.len() {
        // Cut where a section ends, before the component type, it is a valid module; but no balancer.
        let result = WasmBalancer::load(&engine, "guest", &whole[..length], BTreeMap::new(), patient());
        assert!(result.is_err(), "{length} of {} bytes were taken", whole.len());
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let engine = engine();
    let whole = embed(Guest::default().core(), "1.0.0", "");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random >> 8).expect("64 bits") % bytes.len();
            bytes[at] ^= (random & 0xff) as u8;
        }
        if let Ok(balancer) = WasmBalancer::load(&engine, "guest", &bytes, BTreeMap::new(), Limits::default()) {
            let _ = balancer.rank(&question(3));
        }
    }
}

#[test]
fn a_digest_is_that_of_the_file() {
    let balancer = load(&Guest::default()).expect("it loads");
    let digest = balancer.digest().expect("a module has one");
    assert_eq!(digest.len(), 64);
    assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let other = load(&Guest::ranking(answer(&[1]))).expect("it loads");
    assert_ne!(digest, other.digest().expect("a module has one"));
}
