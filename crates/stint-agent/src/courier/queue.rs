//! Queues that never make the sender wait: the warden must not be held up by a broker that is away.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The newest `most` of what was put in, in order.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    waiting: Mutex<VecDeque<T>>,
    filled: Notify,
    most: usize,
}

impl<T> Newest<T> {
    /// An empty one.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), most }
    }
    /// Puts one in. If there are too many, the oldest is dropped.
    pub(crate) fn put(&self, item: T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.len() >= self.most {
            waiting.pop_front();
        }
        waiting.push_back(item);
        self.filled.notify_one();
    }
    /// Takes the oldest out, if there is one.
    pub(crate) fn try_take(&self) -> Option<T> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
    /// Takes the newest out and drops all others.
    pub(crate) fn take_newest(&self) -> Option<T> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)).pop_back()
    }
    /// Takes the oldest out, once there is one. For one taker.
    pub(crate) async fn take(&self) -> T {
        loop {
            if let Some(item) = self.try_take() {
                return item;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let queue = Newest::new(2);
        (1..=4).for_each(|n| queue.put(n));
        assert_eq!([queue.try_take(), queue.try_take(), queue.try_take()], [Some(3), Some(4), None]);
    }
    #[test]
    fn the_newest_takes_all_others_with_it() {
        let queue = Newest::new(8);
        (1..=4).for_each(|n| queue.put(n));
        assert_eq!(queue.take_newest(), Some(4));
        assert_eq!(queue.try_take(), None);
    }
}
