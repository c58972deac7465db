//! Random steps over a family of bodies, run here and by CPython: the traces have to be the same.
//!
//! The interpreter is `$PYTHON`, or `python3` on the path. `PROPTEST_CASES` sets the number of sequences.
#![cfg(not(miri))] // It starts other processes.
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "differential/bodies.rs"]
mod bodies;

use bodies::{Op, Thrown, trace};

/// An interpreter that traces line after line.
struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Self {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/bodies.py");
        let mut child = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{python:?} does not start ({error}): set PYTHON to a CPython")
            });
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn trace(&mut self, name: &str, ops: &[Op]) -> String {
        let ops: String = ops.iter().map(|op| format!(" {op}")).collect();
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{name}{ops}").expect("the interpreter reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the interpreter answers");
        line.trim_end().to_string()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Next),
        3 => (-1..4i64).prop_map(Op::Send),
        2 => Just(Op::Throw(Thrown::Soft)),
        2 => Just(Op::Throw(Thrown::Hard)),
        1 => Just(Op::Exit),
        1 => Just(Op::Close),
    ]
}

#[test]
fn traces_are_those_of_python() {
    let bodies = bodies::bodies();
    let python = RefCell::new(Python::start());
    let cases = Config { failure_persistence: None, ..Config::default() };
    let cases = Config { cases: cases.cases.max(5000), ..cases };
    let strategy = (0..bodies.len(), prop::collection::vec(op(), 1..12));
    TestRunner::new(cases)
        .run(&strategy, |(which, ops)| {
            let (name, make) = &bodies[which];
            let expected = python.borrow_mut().trace(name, &ops);
            prop_assert_eq!(trace(make(), &ops), expected, "{}", name);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_body_meets_every_first_three_steps() {
    let all = [
        Op::Next,
        Op::Send(0),
        Op::Send(3),
        Op::Throw(Thrown::Soft),
        Op::Throw(Thrown::Hard),
        Op::Exit,
        Op::Close,
    ];
    let mut python = Python::start();
    for (name, make) in bodies::bodies() {
        for first in all {
            for second in all {
                for third in all {
                    let ops = [Op::Next, first, second, third];
                    let expected = python.trace(&name, &ops);
                    assert_eq!(trace(make(), &ops), expected, "{name} {ops:?}");
                }
            }
        }
    }
}
