//! Messages that differ from request to request, without a copy to make them.

/// How many different windows there are; neighbouring requests never send the same one.
const WINDOWS: usize = 4096;

/// A block of noise; each message is a window of it, so that an answer that belongs to another
/// request or another connection is found out by comparing bytes.
#[derive(Debug)]
pub(crate) struct Payload {
    noise: Vec<u8>,
    size: usize,
}

impl Payload {
    /// Noise for messages of `size` bytes. The same in every run, so runs are comparable.
    pub(crate) fn new(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = std::iter::repeat_with(|| {
            // xorshift64*: enough disorder that no two windows look alike.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .take(size + WINDOWS)
        .collect();
        Self { noise, size }
    }

    /// The message of one request.
    pub(crate) fn message(&self, connection: usize, request: u64) -> &[u8] {
        // 61 and 7 are coprime to the number of windows: consecutive requests and connections
        // with neighbouring numbers land on different windows.
        let start = (connection * 61 + (request % WINDOWS as u64) as usize * 7) % WINDOWS;
        &self.noise[start..start + self.size]
    }

    /// Bytes per message.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_requests_and_connections_send_different_bytes() {
        let payload = Payload::new(64);
        for connection in 0..50 {
            for request in 0..200 {
                let message = payload.message(connection, request);
                assert_eq!(message.len(), 64);
                assert_ne!(message, payload.message(connection, request + 1));
                assert_ne!(message, payload.message(connection + 1, request));
            }
        }
    }
}
