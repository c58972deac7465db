//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::client::{Amount, Load};
use crate::endpoint::Endpoint;
use crate::failure::Failure;

pub(crate) const HELP: &str = "\
boros-loadgen echo (--port PORT [--host ADDRESS] | --unix PATH)
                   (--requests N | --duration SECONDS)
                   [--connections N=1] [--size BYTES=1024] [--warmup SECONDS=0.1]
                   [--pid SERVER_PID] [--timeout SECONDS=10]
    Sends a message on every connection, waits for all of it to come back, compares every byte,
    sends the next. Prints one JSON object: requests, seconds, requests per second, latency
    percentiles and, with --pid, the server's processor time per request. Ends with status 1 and
    a line on stderr if an answer was corrupted, short, unasked for or did not come.

boros-loadgen raw [--port PORT=0]
    Serves echo on 127.0.0.1 straight on epoll until it is killed. Prints the port.";

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Echo(Load),
    Raw(u16),
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: &[String]) -> Result<Command, Failure> {
    let Some((mode, rest)) = words.split_first() else {
        return Ok(Command::Help);
    };
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Command::Help);
    }
    match mode.as_str() {
        "echo" => echo(rest).map(Command::Echo),
        "raw" => raw(rest).map(Command::Raw),
        other => Err(Failure::Usage(format!("unknown mode {other:?}"))),
    }
}

fn echo(words: &[String]) -> Result<Load, Failure> {
    let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = None;
    let mut unix = None;
    let mut amount = None;
    let mut connections = 1_usize;
    let mut size = 1024_usize;
    let mut warmup = Duration::from_millis(100);
    let mut pid = None;
    let mut patience = Duration::from_secs(10);
    for option in options(words) {
        let (name, value) = option?;
        match name {
            "--host" => host = number(name, value)?,
            "--port" => port = Some(number(name, value)?),
            "--unix" => unix = Some(value.into()),
            "--requests" => amount = Some(Amount::Requests(number(name, value)?)),
            "--duration" => amount = Some(Amount::Time(seconds(name, value)?)),
            "--connections" => connections = number(name, value)?,
            "--size" => size = number(name, value)?,
            "--warmup" => warmup = seconds(name, value)?,
            "--pid" => pid = Some(number(name, value)?),
            "--timeout" => patience = seconds(name, value)?,
            _ => return Err(Failure::Usage(format!("unknown option {name}"))),
        }
    }
    let endpoint = match (port, unix) {
        (Some(port), None) => Endpoint::Tcp(SocketAddr::new(host, port)),
        (None, Some(path)) => Endpoint::Unix(path),
        _ => return Err(Failure::Usage("give one of --port and --unix".into())),
    };
    let Some(amount) = amount else {
        return Err(Failure::Usage("give --requests or --duration".into()));
    };
    if connections == 0 || size == 0 || patience.is_zero() || amount == Amount::Requests(0) {
        return Err(Failure::Usage("connections, size, requests and timeout are positive".into()));
    }
    Ok(Load { endpoint, connections, size, amount, warmup, pid, patience })
}

fn raw(words: &[String]) -> Result<u16, Failure> {
    let mut port = 0;
    for option in options(words) {
        match option? {
            (name @ "--port", value) => port = number(name, value)?,
            (name, _) => return Err(Failure::Usage(format!("unknown option {name}"))),
        }
    }
    Ok(port)
}

/// The words in pairs of `--name value`.
fn options(words: &[String]) -> impl Iterator<Item = Result<(&str, &str), Failure>> {
    words.chunks(2).map(|pair| match pair {
        [name, value] => Ok((name.as_str(), value.as_str())),
        rest => Err(Failure::Usage(format!("{} needs a value", rest.join(" ")))),
    })
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, Failure> {
    value.parse().map_err(|_| Failure::Usage(format!("{name} does not take {value:?}")))
}

fn seconds(name: &str, value: &str) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(number(name, value)?)
        .map_err(|_| Failure::Usage(format!("{name} does not take {value:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    #[test]
    fn an_echo_load_is_read() {
        let line = "echo --port 80 --connections 50 --size 10 --requests 7 --pid 3 --timeout 0.5";
        let Ok(Command::Echo(load)) = parse(&words(line)) else {
            panic!("{line} does not parse");
        };
        assert_eq!(load.endpoint, Endpoint::Tcp("127.0.0.1:80".parse().unwrap()));
        assert_eq!((load.connections, load.size, load.pid), (50, 10, Some(3)));
        assert_eq!(load.amount, Amount::Requests(7));
        assert_eq!(load.patience, Duration::from_millis(500));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "fly",
            "echo --requests 5",
            "echo --port 1 --unix /tmp/x --requests 5",
            "echo --port 1",
            "echo --port 1 --requests 0",
            "echo --port 1 --requests 5 --size 0",
            "echo --port 1 --requests",
            "echo --port 99999 --requests 5",
            "echo --port 1 --duration -1",
            "raw --size 5",
        ] {
            assert!(matches!(parse(&words(line)), Err(Failure::Usage(_))), "{line}");
        }
    }
}
