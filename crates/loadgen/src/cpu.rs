//! The processor time of another process.

use std::fs;
use std::io;
use std::time::Duration;

/// User and system time that all live threads of a process have used so far.
///
/// `/proc/PID/task/*/schedstat` counts nanoseconds where `/proc/PID/stat` counts ticks of 10 ms; it is
/// exact for a thread that sleeps, so marks are to be taken when no request is outstanding.
pub(crate) fn used_by(pid: u32) -> io::Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => total += on_cpu(&text)?,
            // A thread that ended between the listing and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Duration::from_nanos(total))
}

/// The first field of `schedstat`: nanoseconds on a processor.
fn on_cpu(schedstat: &str) -> io::Result<u64> {
    schedstat
        .split_ascii_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "schedstat without a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_counts() {
        assert_eq!(on_cpu("123456789 55 7\n").ok(), Some(123_456_789));
        assert!(on_cpu("").is_err());
        assert!(on_cpu("x 1 2").is_err());
    }

    #[test]
    fn this_process_has_used_some_time() {
        assert!(used_by(std::process::id()).is_ok_and(|used| !used.is_zero()));
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        assert!(used_by(u32::MAX).is_err());
    }
}
