//! Functions that are called when the process gets a signal.
use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use boros_reactor::Direction;
use signal_hook::SigId;

use crate::core::Core;
use crate::job::Target;
use crate::watch::Watch;

struct Entry {
    id: SigId,
    /// The handler's end writes a byte per signal.
    pipe: Rc<UnixStream>,
    watch: Rc<Watch>,
}

/// The signals that a loop handles.
#[derive(Default)]
pub(crate) struct Signals {
    entries: HashMap<i32, Entry>,
}

impl Core {
    pub(crate) fn add_signal_handler(
        &self,
        signal: i32,
        mut function: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if signal_hook::consts::FORBIDDEN.contains(&signal) {
            let message = format!("signal {signal} cannot be handled");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (pipe, theirs) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        self.remove_signal_handler(signal);
        let pipe = Rc::new(pipe);
        let reader = Rc::clone(&pipe);
        let watch = Rc::new(Watch::new(Box::new(move || {
            // Signals that come in a burst are one, as the system itself has it.
            let mut bytes = [0; 64];
            if (&*reader).read(&mut bytes).is_ok_and(|count| count > 0) {
                function();
            }
        })));
        let id = signal_hook::low_level::pipe::register(signal, theirs)?;
        let result = self.engine.borrow_mut().watch(
            pipe.as_raw_fd(),
            Direction::Read,
            Target::Watch(Rc::clone(&watch)),
        );
        if let Err((error, _)) = result {
            signal_hook::low_level::unregister(id);
            return Err(error);
        }
        let mut signals = self.signals.borrow_mut();
        signals.entries.insert(signal, Entry { id, pipe, watch });
        self.engine.borrow_mut().set_quiet(signals.entries.len());
        Ok(())
    }

    pub(crate) fn remove_signal_handler(&self, signal: i32) -> bool {
        let entry = self.signals.borrow_mut().entries.remove(&signal);
        let Some(entry) = entry else { return false };
        signal_hook::low_level::unregister(entry.id);
        let target = {
            let mut engine = self.engine.borrow_mut();
            engine.set_quiet(self.signals.borrow().entries.len());
            engine.unwatch(entry.pipe.as_raw_fd(), Direction::Read)
        };
        drop(target);
        entry.watch.remove();
        true
    }

    pub(crate) fn remove_signal_handlers(&self) {
        let signals: Vec<i32> = self.signals.borrow().entries.keys().copied().collect();
        for signal in signals {
            self.remove_signal_handler(signal);
        }
    }
}
