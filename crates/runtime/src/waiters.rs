//! Those who wait for one thing: mostly one, so that one takes no allocation.

/// A list of waiters in the order in which they came.
pub(crate) struct Waiters<T> {
    first: Option<(u64, T)>,
    more: Vec<(u64, T)>,
    next_key: u64,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Waiters { first: None, more: Vec::new(), next_key: 0 }
    }
}

impl<T> Waiters<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    pub(crate) fn add(&mut self, waiter: T) -> u64 {
        self.next_key += 1;
        // The first place only while nobody stands behind it: order counts.
        if self.is_empty() {
            self.first = Some((self.next_key, waiter));
        } else {
            self.more.push((self.next_key, waiter));
        }
        self.next_key
    }

    /// Puts `waiter` in the place of the one that has this key. It comes back if that one is gone.
    pub(crate) fn replace(&mut self, key: u64, waiter: T) -> Result<T, T> {
        match self.first.iter_mut().chain(&mut self.more).find(|(other, _)| *other == key) {
            Some((_, place)) => Ok(std::mem::replace(place, waiter)),
            None => Err(waiter),
        }
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        if self.first.as_ref().is_some_and(|(other, _)| *other == key) {
            return self.first.take().map(|(_, waiter)| waiter);
        }
        let index = self.more.iter().position(|(other, _)| *other == key)?;
        Some(self.more.remove(index).1)
    }

    /// The only waiter, if there is just one.
    pub(crate) fn take_only(&mut self) -> Option<T> {
        if self.more.is_empty() { self.first.take().map(|(_, waiter)| waiter) } else { None }
    }

    /// All of them, in order.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        let first = self.first.take();
        first.into_iter().chain(std::mem::take(&mut self.more)).map(|(_, waiter)| waiter)
    }
}
