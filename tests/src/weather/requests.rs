//! Counts what callers ask, where each message begins with its length in four bytes, as Kafka's do.

const LENGTH_BYTES: usize = 4;

/// What came through one connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    length: Vec<u8>,
    /// How many bytes of the message under way are to come.
    left: usize,
}

impl Requests {
    /// How many messages begin in these bytes, which follow those of the last call.
    pub(super) fn begun(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while !bytes.is_empty() {
            let body = self.left.min(bytes.len());
            self.left -= body;
            bytes = &bytes[body..];
            let head = (LENGTH_BYTES - self.length.len()).min(bytes.len());
            self.length.extend_from_slice(&bytes[..head]);
            bytes = &bytes[head..];
            if let Ok(length) = <[u8; LENGTH_BYTES]>::try_from(&self.length[..]) {
                let length = u32::from_be_bytes(length);
                self.left = usize::try_from(length).expect("usize holds 32 bits");
                self.length.clear();
                begun += 1;
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::Requests;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let messages = [&[0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]].concat();
        for size in 1..=messages.len() {
            let mut requests = Requests::default();
            let begun: u64 = messages.chunks(size).map(|chunk| requests.begun(chunk)).sum();
            assert_eq!(begun, 3, "in chunks of {size}");
        }
    }
}
