//! A load generator that trusts nobody: every byte of every answer is compared.
//!
//! `boros-loadgen echo` drives an echo server in a closed loop and prints one JSON object;
//! `boros-loadgen raw` is the other end: the least that an echo server on epoll can do, the limit
//! that event loops are held against.

mod args;
mod client;
mod clock;
mod cpu;
mod endpoint;
mod failure;
mod latency;
mod payload;
mod raw;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("boros-loadgen: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Failure> {
    match args::parse(words)? {
        Command::Help => println!("{}", args::HELP),
        Command::Echo(load) => println!("{}", client::run(&load)?.to_json()),
        Command::Raw(port) => raw::serve(port)?,
    }
    Ok(())
}
