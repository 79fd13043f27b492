//! The child: what it is given, what it says, and how it ends.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::{at_most, compiler, few, generous, large, load, missing, refusal, within};
use crate::balancer::{
    Balancer,
    wasm::{
        Compiler, CompilerLimits, LoadError, Origin, WasmBalancer,
        engine::on_demand_for_tests,
        tests::{apart, engine, guests::Guest, is_apart},
    },
};

fn shell(script: &str, argument: &Path) -> Compiler {
    let arguments = vec!["-c".into(), script.into(), "sh".into(), argument.into()];
    Compiler { arguments, ..Compiler::new("/bin/sh") }
}

#[test]
fn a_module_that_a_child_compiled_decides_in_every_engine() {
    for engine in [engine(), on_demand_for_tests()] {
        let engine = engine.with_compiler(compiler());
        for limits in [super::patient(), generous()] {
            let bytes = Guest::default().bytes();
            let balancer = WasmBalancer::load(&engine, "guest", &bytes, BTreeMap::new(), limits).expect("it loads");
            assert_eq!(balancer.rank(&few()).expect("an answer").order, [0]);
        }
    }
}

#[test]
fn a_trap_of_a_module_that_a_child_compiled_names_its_functions() {
    let guest = Guest::ranking("unreachable");
    let balancer = load(&engine().with_compiler(compiler()), &guest.bytes()).expect("it loads");
    assert_eq!(balancer.rank(&few()).expect_err("it traps").to_string(), "it stopped itself (in rank)");
}

#[test]
fn what_the_child_refuses_is_told_in_the_words_of_this_process() {
    let text = |text: &str| wat::parse_str(text).expect("a component");
    let guests = [
        b"#!/bin/sh\n".to_vec(),
        text("(component)"),
        text("(component (import \"wasi:filesystem/preopens@0.2.0\" (instance)))"),
        Guest { version: "2.0.0", ..Guest::default() }.bytes(),
        Guest::default().bytes()[..60].to_vec(),
        Guest { imports: "(import \"env\" \"getenv\" (func (param i32)))".to_owned(), ..Guest::default() }.bytes(),
        text(
            "(component (import \"evenkeel:balancer/nodes@1.9.0\" (instance
                (export \"moon-phases\" (func (result (list u32)))))) 
                (instance $policy) (export \"evenkeel:balancer/policy@1.9.0\" (instance $policy)))",
        ),
    ];
    let (elsewhere, here) = (engine().with_compiler(compiler()), engine());
    for bytes in guests {
        let expected = load(&here, &bytes).expect_err("refused");
        assert_eq!(load(&elsewhere, &bytes).expect_err("refused"), expected);
    }
}

#[test]
fn a_builtin_module_needs_no_child() {
    let engine = engine().with_compiler(missing());
    let load = |load: fn(&_, &_, &_, _, _) -> _| -> Result<WasmBalancer, LoadError> {
        load(&engine, "guest", &Guest::default().bytes(), BTreeMap::new(), super::patient())
    };
    load(|engine, name, bytes, settings, limits| {
        WasmBalancer::load_from(Origin::Ours, engine, name, bytes, settings, limits)
    })
    .expect("it loads");
    let error = load(|engine, name, bytes, settings, limits| WasmBalancer::load(engine, name, bytes, settings, limits))
        .expect_err("no child");
    assert!(error.to_string().contains("/nonexistent/evenkeel: it cannot be started"), "{error}");
}

#[test]
fn a_module_that_takes_too_long_to_compile_is_refused() {
    let why = refusal(within(at_most(Duration::from_millis(1))));
    assert_eq!(why, "the module cannot be compiled: it took longer than 0.001 s");
}

#[test]
fn a_module_that_takes_too_much_of_a_processor_is_refused() {
    let limits = CompilerLimits { processor: 1, ..CompilerLimits::default() };
    let engine = engine().with_compiler(within(limits));
    load(&engine, &Guest::default().bytes()).expect("a small one is compiled");
    let why = load(&engine, &large()).expect_err("refused").to_string();
    assert_eq!(why, "the module cannot be compiled: it took longer than 1 s of processor time");
}

#[test]
fn a_module_that_takes_too_much_memory_to_compile_is_refused() {
    let limits = CompilerLimits { memory: 1 << 20, ..CompilerLimits::default() };
    let why = refusal(within(limits));
    // Which of its needs is the first that is not met is chance.
    let told = ["it needed more than 1 MiB of memory", "it broke down over the module"];
    assert!(told.iter().any(|told| why.starts_with(&format!("the module cannot be compiled: {told}"))), "{why}");
}

#[test]
fn a_compiler_that_breaks_down_refuses_the_module_and_nothing_else_happens() {
    let nothing = Path::new("");
    let why = refusal(shell("echo 'thread main has overflowed its stack' >&2; kill -SEGV $$", nothing));
    let expected = "the module cannot be compiled: it broke down over the module (SIGSEGV): \
                    thread main has overflowed its stack";
    assert_eq!(why, expected);
    let why = refusal(shell("cat >/dev/null; exit 3", nothing));
    assert_eq!(why, "the module cannot be compiled: it broke down over the module (exit status: 3): ");
}

#[test]
fn one_that_says_half_of_what_it_announced_is_not_believed() {
    let script = "cat >/dev/null; printf '{\"Compiled\":{\"export\":\"e\",\"length\":9}}\\nhalf' >&0";
    let why = refusal(shell(script, Path::new("")));
    assert_eq!(why, "the module cannot be compiled: it broke down over the module (exit status: 0): ");
    let script = "cat >/dev/null; printf '{\"Compiled\":{\"export\":\"e\",\"length\":4}}\\ncode' >&0";
    let why = refusal(shell(script, Path::new("")));
    assert!(why.starts_with("the module is not valid: "), "{why}");
}

#[test]
fn of_a_child_that_is_late_nothing_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pid");
    let slow = shell("sleep 1000 & echo $! >\"$1.new\"; mv \"$1.new\" \"$1\"; wait", &file);
    let why = refusal(slow.within(at_most(Duration::from_secs(2))));
    assert_eq!(why, "the module cannot be compiled: it took longer than 2 s");
    let sleeper = fs::read_to_string(&file).expect("it was started");
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).ok()?;
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    let gone = || matches!(state(), None | Some('Z' | 'X'));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !gone() {
        assert!(std::time::Instant::now() < deadline, "it still runs");
        std::thread::yield_now();
    }
}

#[test]
fn where_this_process_is_limited_itself_a_child_is_asked_for_no_more() {
    apart("ulimit -v 2500000 && ulimit -t 50", "balancer::wasm::compiler::tests::child::as_a_process_that_is_limited");
}

#[test]
#[ignore = "run by the test above, in a process that is limited"]
fn as_a_process_that_is_limited() {
    if !is_apart() {
        return;
    }
    let why = refusal(shell("head -n 1 >&2; exit 3", Path::new("")));
    // Root may raise its limits, and would not notice: what is asked for is what counts.
    assert!(why.ends_with("\"memory\":2560000000,\"processor\":49}"), "{why}");
    load(&engine().with_compiler(compiler()), &Guest::default().bytes()).expect("it loads");
}
