//! `WriteRequest`, decoded with a bound.
//!
//! An item takes two bytes on the wire and seventy in memory: a message that is small enough to be received could take
//! forty times its size before anybody can judge it. Generated code has no place to say how many are enough.

use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, int32, message, skip_field, string, uint64};

use crate::limits::ITEMS_MAX;
use crate::v1::WriteItem;

/// The first message of a stream names the store of all; each holds items in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// The store, as in a `PutRequest`; in later messages it is the same, or empty.
    pub store: String,
    /// The items, at most [`ITEMS_MAX`].
    pub items: Vec<WriteItem>,
    /// How long each of them waits for the log at most, in milliseconds; as in a `PutRequest`.
    pub wait_ms_max: Option<u64>,
    /// When they are answered: an [`Ack`](crate::v1::Ack); as in a `PutRequest`.
    pub ack: i32,
}

const STORE: u32 = 1;
const ITEMS: u32 = 2;
const WAIT_MS_MAX: u32 = 3;
const ACK: u32 = 4;

impl prost::Message for WriteRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if !self.store.is_empty() {
            string::encode(STORE, &self.store, buffer);
        }
        message::encode_repeated(ITEMS, &self.items, buffer);
        if let Some(wait_ms_max) = &self.wait_ms_max {
            uint64::encode(WAIT_MS_MAX, wait_ms_max, buffer);
        }
        if self.ack != 0 {
            int32::encode(ACK, &self.ack, buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            STORE => string::merge(wire_type, &mut self.store, buffer, context),
            ITEMS if self.items.len() == ITEMS_MAX => {
                let message = format!("more than {ITEMS_MAX} items: send them in several messages");
                #[expect(deprecated, reason = "nothing else makes one with a text")]
                Err(DecodeError::new(message))
            }
            ITEMS => message::merge_repeated(wire_type, &mut self.items, buffer, context),
            WAIT_MS_MAX => {
                let wait_ms_max = self.wait_ms_max.get_or_insert_default();
                uint64::merge(wire_type, wait_ms_max, buffer, context)
            }
            ACK => int32::merge(wire_type, &mut self.ack, buffer, context),
            unknown => skip_field(wire_type, unknown, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let store = if self.store.is_empty() { 0 } else { string::encoded_len(STORE, &self.store) };
        let wait =
            self.wait_ms_max.as_ref().map_or(0, |wait| uint64::encoded_len(WAIT_MS_MAX, wait));
        let ack = match self.ack {
            0 => 0,
            ack => int32::encoded_len(ACK, &ack),
        };
        store + message::encoded_len_repeated(ITEMS, &self.items) + wait + ack
    }

    fn clear(&mut self) {
        *self = WriteRequest::default();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::v1::write_item::Action;

    fn request(items: usize) -> WriteRequest {
        let item = WriteItem { key: "k".into(), action: Some(Action::Put("v".into())) };
        let items = vec![item; items];
        WriteRequest { store: "notes".to_owned(), items, ..WriteRequest::default() }
    }

    #[test]
    fn it_is_on_the_wire_what_the_contract_says() {
        let encoded = request(1).encode_to_vec();
        let expected: &[u8] = b"\x0a\x05notes\x12\x06\x0a\x01k\x12\x01v";
        assert_eq!(encoded, expected);
        assert_eq!(request(1).encoded_len(), expected.len());
        let later = [expected, b"\x78\x07"].concat();
        assert_eq!(WriteRequest::decode(&later[..]).expect("an unknown field"), request(1));
        let ack = crate::v1::Ack::Applied.into();
        let waits = WriteRequest { wait_ms_max: Some(300), ack, ..request(1) };
        let encoded = waits.encode_to_vec();
        assert_eq!(encoded, [expected, b"\x18\xac\x02\x20\x02"].concat());
        assert_eq!(encoded.len(), waits.encoded_len());
        assert_eq!(WriteRequest::decode(&encoded[..]).expect("its own"), waits);
        assert_eq!(WriteRequest::decode(&b""[..]).expect("nothing"), WriteRequest::default());
    }

    #[test]
    fn more_items_than_a_message_may_have_are_not_decoded() {
        let most = request(ITEMS_MAX).encode_to_vec();
        assert_eq!(
            WriteRequest::decode(&most[..]).expect("as many as allowed"),
            request(ITEMS_MAX)
        );
        let tiny = b"\x12\x00".repeat(ITEMS_MAX + 1);
        let refused = WriteRequest::decode(&tiny[..]).expect_err("one too many");
        assert!(refused.to_string().contains("several messages"), "{refused}");
    }
}
