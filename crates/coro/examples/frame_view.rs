//! Looking into suspended generators: the line where each waits, its values, and what it delegates to.
use std::path::Path;

use boros_coro::{BoxGenerator, View, generator};

/// Doubles, and shows its variables.
fn doubling(mut value: u32, times: u32) -> BoxGenerator<'static, u32> {
    generator(async move |mut co| {
        for round in 0..times {
            co.expose("round", round);
            co.expose("value", value);
            co.yield_(value).await;
            value *= 2;
        }
    })
    .boxed()
}

/// Hands over to two others.
fn relay() -> BoxGenerator<'static, u32> {
    generator(async |mut co| {
        co.expose("leg", "first");
        co.yield_from(doubling(3, 2)).await;
        co.expose("leg", "second");
        co.yield_from(doubling(100, 1)).await;
        co.yield_(0).await;
    })
    .boxed()
}

fn look(view: View<'_>) {
    let mut level = Some(view);
    let mut indent = String::from("  ");
    while let Some(view) = level {
        let body = view.name().rsplit("::").find(|part| !part.starts_with('{')).unwrap_or_default();
        print!("{indent}{body} is {}", view.state());
        if let Some(at) = view.location() {
            let file = Path::new(at.file()).file_name().unwrap_or_default();
            print!(" at {}:{}", file.display(), at.line());
        }
        for (name, value) in view.exposed() {
            print!(", {name} = {value}");
        }
        println!();
        level = view.delegate();
        indent.push_str("  ");
    }
}

fn main() {
    let mut relay = relay();
    look(relay.view());
    while let Some(value) = relay.next() {
        println!("yielded {value}");
        look(relay.view());
    }
    println!("ended");
    look(relay.view());
}
