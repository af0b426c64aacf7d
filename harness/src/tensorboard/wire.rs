//! The wire format of Protocol Buffers, as far as an event needs it: <https://protobuf.dev/programming-guides/encoding/>.

/// How the bytes of a field are laid out: the low three bits of its key.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// An `int64`, `int32` or enumeration, not negative.
    pub(super) fn integer(&mut self, field: u32, value: u64) {
        self.key(field, WireType::Varint);
        self.varint(value);
    }

    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.key(field, WireType::Fixed32);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.key(field, WireType::Fixed64);
        self.bytes.extend(value.to_le_bytes());
    }

    /// A packed `repeated double`.
    pub(super) fn doubles(&mut self, field: u32, values: &[f64]) {
        self.key(field, WireType::Length);
        self.varint(8 * values.len() as u64);
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, WireType::Length);
        self.varint(value.len() as u64);
        self.bytes.extend(value);
    }

    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A message inside this one.
    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.bytes);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn key(&mut self, field: u32, kind: WireType) {
        self.varint(u64::from(field) << 3 | kind as u64);
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fill: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        fill(&mut message);
        message.into_bytes()
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(encoded(|m| m.integer(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(encoded(|m| m.text(2, "testing")), *b"\x12\x07testing");
        assert_eq!(encoded(|m| m.message(3, |inner| inner.integer(1, 150))), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn numbers_take_the_bytes_of_their_type() {
        assert_eq!(encoded(|m| m.integer(1, 0)), [0x08, 0x00]);
        assert_eq!(encoded(|m| m.integer(1, u64::MAX)).len(), 1 + 10);
        assert_eq!(encoded(|m| m.float(2, 1.0)), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(encoded(|m| m.double(1, 1.0)), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(encoded(|m| m.doubles(6, &[1.0, 0.0]))[..2], [0x32, 16]);
        assert_eq!(encoded(|m| m.doubles(16, &[])), [0x82, 0x01, 0]);
    }
}
