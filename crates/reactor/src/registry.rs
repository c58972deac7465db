//! Who waits for which descriptor, kept in step with a poller.
use std::io;
use std::os::fd::RawFd;

use crate::interest::{Interest, Readiness};
use crate::poller::{Event, Poller};

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Told when the descriptor can be read.
    Read,
    /// Told when the descriptor can be written.
    Write,
}

#[derive(Debug)]
struct Entry<T> {
    reader: Option<T>,
    writer: Option<T>,
    /// What the kernel was told.
    registered: Interest,
    /// Told apart from an earlier use of the same number: events of that use are dropped.
    generation: u32,
}

impl<T> Entry<T> {
    fn wanted(&self) -> Interest {
        Interest { read: self.reader.is_some(), write: self.writer.is_some() }
    }

    fn slot(&mut self, direction: Direction) -> &mut Option<T> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }
}

/// What an event means: who is to be told.
#[derive(Debug)]
pub struct Resolved<'a, T> {
    /// The descriptor.
    pub fd: RawFd,
    /// Who waits to read, if it became readable.
    pub reader: Option<&'a T>,
    /// Who waits to write, if it became writable.
    pub writer: Option<&'a T>,
}

/// The table of waiting readers and writers by descriptor.
///
/// It never drops a `T` by itself: what is replaced or removed is handed out.
#[derive(Debug)]
pub struct Registry<T> {
    /// By number: descriptors are small and dense.
    entries: Vec<Entry<T>>,
    waiting: usize,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Registry { entries: Vec::new(), waiting: 0 }
    }
}

impl<T> Registry<T> {
    /// An empty table.
    pub fn new() -> Self {
        Registry::default()
    }

    /// How many descriptors somebody waits for.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits for anything.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Who waits for `fd` in that direction.
    pub fn get(&self, fd: RawFd, direction: Direction) -> Option<&T> {
        let entry = self.entries.get(usize::try_from(fd).ok()?)?;
        match direction {
            Direction::Read => entry.reader.as_ref(),
            Direction::Write => entry.writer.as_ref(),
        }
    }

    /// Lets `target` wait for `fd`, and hands out who waited before.
    ///
    /// # Errors
    /// The poller's; nothing has changed then and `target` comes back with the error.
    pub fn set(
        &mut self,
        poller: &Poller,
        fd: RawFd,
        direction: Direction,
        target: T,
    ) -> Result<Option<T>, (io::Error, T)> {
        let Ok(index) = usize::try_from(fd) else {
            return Err((rustix::io::Errno::BADF.into(), target));
        };
        // Asked first: a wild number must not make the table as long as itself.
        if index >= self.entries.len() {
            let fresh = Interest {
                read: direction == Direction::Read,
                write: direction == Direction::Write,
            };
            if let Err(error) = poller.add(fd, token(fd, 1), fresh) {
                return Err((error, target));
            }
            self.entries.resize_with(index + 1, || Entry {
                reader: None,
                writer: None,
                registered: Interest::NONE,
                generation: 0,
            });
            self.entries[index].generation = 1;
            self.entries[index].registered = fresh;
        }
        let entry = &mut self.entries[index];
        let was_waiting = !entry.wanted().is_none();
        let previous = entry.slot(direction).replace(target);
        let result = match previous {
            None => sync(poller, fd, entry),
            // The kernel forgets a descriptor that is closed, and the number may be another's by now: told
            // again, it says so.
            Some(_) => modify(poller, fd, entry, entry.registered),
        };
        if let Err(error) = result {
            return match std::mem::replace(entry.slot(direction), previous) {
                Some(target) => Err((error, target)),
                None => Ok(None),
            };
        }
        if !was_waiting {
            self.waiting += 1;
        }
        Ok(previous)
    }

    /// Ends the wait for `fd` in that direction and hands out who waited. A descriptor that was closed
    /// meanwhile is no error: the kernel has forgotten it by itself.
    pub fn remove(&mut self, poller: &Poller, fd: RawFd, direction: Direction) -> Option<T> {
        let entry = self.entries.get_mut(usize::try_from(fd).ok()?)?;
        let target = entry.slot(direction).take()?;
        // Errors mean that the kernel has dropped it (closed), which is what was wanted.
        let _ = sync(poller, fd, entry);
        if entry.wanted().is_none() {
            self.waiting -= 1;
        }
        Some(target)
    }

    /// Who is to be told of `event`; nobody when it is left over from an earlier use of the descriptor.
    pub fn resolve(&self, event: Event) -> Option<Resolved<'_, T>> {
        let fd = event.token as u32 as RawFd;
        let entry = self.entries.get(usize::try_from(fd).ok()?)?;
        if token(fd, entry.generation) != event.token {
            return None;
        }
        let Readiness { readable, writable } = event.readiness;
        Some(Resolved {
            fd,
            reader: entry.reader.as_ref().filter(|_| readable),
            writer: entry.writer.as_ref().filter(|_| writable),
        })
    }

    /// Everybody who waits.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flat_map(|entry| entry.reader.iter().chain(entry.writer.iter()))
    }

    /// Empties the table and hands out who waited. The poller is not told: it is about to go.
    pub fn take_all(&mut self) -> Vec<T> {
        self.waiting = 0;
        std::mem::take(&mut self.entries)
            .into_iter()
            .flat_map(|entry| entry.reader.into_iter().chain(entry.writer))
            .collect()
    }
}

fn token(fd: RawFd, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(fd as u32)
}

/// Tells the poller what `entry` wants now.
fn sync<T>(poller: &Poller, fd: RawFd, entry: &mut Entry<T>) -> io::Result<()> {
    let wanted = entry.wanted();
    if wanted == entry.registered {
        return Ok(());
    }
    let before = std::mem::replace(&mut entry.registered, wanted);
    let result = if wanted.is_none() {
        // A new generation: events that were fetched already are not for whoever comes next.
        entry.generation = entry.generation.wrapping_add(1);
        poller.delete(fd)
    } else if before.is_none() {
        add(poller, fd, entry, wanted)
    } else {
        modify(poller, fd, entry, wanted)
    };
    if result.is_err() && !wanted.is_none() {
        entry.registered = before;
    }
    result
}

fn modify<T>(poller: &Poller, fd: RawFd, entry: &mut Entry<T>, wanted: Interest) -> io::Result<()> {
    match poller.modify(fd, token(fd, entry.generation), wanted) {
        // The number was closed and used again behind our back.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            entry.generation = entry.generation.wrapping_add(1);
            poller.add(fd, token(fd, entry.generation), wanted)
        }
        other => other,
    }
}

fn add<T>(poller: &Poller, fd: RawFd, entry: &Entry<T>, wanted: Interest) -> io::Result<()> {
    match poller.add(fd, token(fd, entry.generation), wanted) {
        // A duplicate of the descriptor keeps an old registration of this number alive.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            poller.modify(fd, token(fd, entry.generation), wanted)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::Events;

    fn ready(poller: &Poller, registry: &Registry<&'static str>) -> Vec<&'static str> {
        let mut events = Events::new();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        let mut told = Vec::new();
        for event in events.iter() {
            if let Some(resolved) = registry.resolve(event) {
                told.extend(resolved.reader.copied());
                told.extend(resolved.writer.copied());
            }
        }
        told
    }

    #[test]
    fn readers_and_writers_of_one_descriptor_are_apart() {
        let poller = Poller::new().unwrap();
        let mut registry = Registry::new();
        let (mut a, b) = UnixStream::pair().unwrap();
        let fd = b.as_raw_fd();
        assert_eq!(registry.set(&poller, fd, Direction::Read, "r").unwrap(), None);
        assert_eq!(registry.set(&poller, fd, Direction::Write, "w").unwrap(), None);
        assert_eq!(registry.len(), 1);
        assert_eq!(ready(&poller, &registry), ["w"]);
        a.write_all(b"x").unwrap();
        assert_eq!(ready(&poller, &registry), ["r", "w"]);
        assert_eq!(registry.set(&poller, fd, Direction::Read, "r2").unwrap(), Some("r"));
        assert_eq!(registry.remove(&poller, fd, Direction::Write), Some("w"));
        assert_eq!(registry.remove(&poller, fd, Direction::Write), None);
        assert_eq!(ready(&poller, &registry), ["r2"]);
        assert_eq!(registry.remove(&poller, fd, Direction::Read), Some("r2"));
        assert!(registry.is_empty());
        assert_eq!(ready(&poller, &registry), [""; 0]);
    }

    #[test]
    fn an_event_of_an_earlier_use_is_dropped() {
        let poller = Poller::new().unwrap();
        let mut registry = Registry::new();
        let (mut a, b) = UnixStream::pair().unwrap();
        let fd = b.as_raw_fd();
        registry.set(&poller, fd, Direction::Read, "old").unwrap();
        a.write_all(b"x").unwrap();
        let mut events = Events::new();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        registry.remove(&poller, fd, Direction::Read);
        registry.set(&poller, fd, Direction::Read, "new").unwrap();
        let stale = events.iter().next().unwrap();
        assert!(registry.resolve(stale).is_none());
        assert_eq!(ready(&poller, &registry), ["new"]);
    }

    #[test]
    fn a_number_that_was_closed_and_used_again_is_registered_anew() {
        let poller = Poller::new().unwrap();
        let mut registry = Registry::new();
        let (_a, b) = UnixStream::pair().unwrap();
        let fd = b.as_raw_fd();
        registry.set(&poller, fd, Direction::Read, "old").unwrap();
        drop(b);
        let (c, d) = UnixStream::pair().unwrap();
        if [c.as_raw_fd(), d.as_raw_fd()].contains(&fd) {
            registry.set(&poller, fd, Direction::Write, "new").unwrap();
            assert!(ready(&poller, &registry).contains(&"new"));
        }
    }

    #[test]
    fn replacing_the_reader_of_a_number_that_was_used_again_wakes_the_new_one() {
        let poller = Poller::new().unwrap();
        let mut registry = Registry::new();
        let (_a, b) = UnixStream::pair().unwrap();
        let spare = b.try_clone().unwrap();
        let fd = spare.as_raw_fd();
        registry.set(&poller, fd, Direction::Read, "old").unwrap();
        let (mut c, d) = UnixStream::pair().unwrap();
        // `spare`'s number now means `d`, and the kernel has dropped the registration with what it meant.
        let mut spare = std::os::fd::OwnedFd::from(spare);
        rustix::io::dup2(&d, &mut spare).unwrap();
        drop(b);
        c.write_all(b"x").unwrap();
        assert_eq!(registry.set(&poller, fd, Direction::Read, "new").unwrap(), Some("old"));
        assert_eq!(ready(&poller, &registry), ["new"]);
    }

    #[test]
    fn a_refused_descriptor_changes_nothing() {
        let poller = Poller::new().unwrap();
        let mut registry: Registry<&str> = Registry::new();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        for fd in [-1, 1 << 30, file.as_raw_fd()] {
            let (_, target) = registry.set(&poller, fd, Direction::Read, "x").unwrap_err();
            assert_eq!(target, "x");
            assert!(registry.is_empty());
            assert!(registry.get(fd, Direction::Read).is_none());
        }
    }
}
