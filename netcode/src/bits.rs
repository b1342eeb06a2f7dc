//! Bits in bytes: bit `i` of a stream is bit `i % 8` of byte `i / 8`, and a value's lowest bit comes first.
//! Input and snapshots are written with it. The last byte is filled with zero bits.

/// The bytes ended before the value did, or go on after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bits end early or go on after the end")]
pub struct BitsError;

/// Appends bits to a buffer of its own, which keeps its memory over [`clear`](Self::clear).
#[derive(Debug, Default, Clone)]
pub struct BitWriter {
    /// Whole words of 64 bits until the writer is finished.
    bytes: Vec<u8>,
    pending: u64,
    /// Below 64.
    pending_bits: u32,
}

impl BitWriter {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all bits, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pending = 0;
        self.pending_bits = 0;
    }

    /// Number of bits written.
    pub fn bits(&self) -> usize {
        self.bytes.len() * 8 + self.pending_bits as usize
    }

    /// Appends the lowest `bits` (0 to 32) of `value`; higher bits are ignored.
    pub fn write(&mut self, value: u32, bits: u32) {
        debug_assert!(bits <= 32, "at most 32 bits at a time");
        self.write_word(u64::from(value), bits);
    }

    /// Appends one bit.
    pub fn write_bool(&mut self, value: bool) {
        self.write(u32::from(value), 1);
    }

    /// Appends `value` in groups of four bits, lowest first, each followed by a bit that says whether another follows.
    pub fn write_groups(&mut self, mut value: u32) {
        loop {
            let more = value > 15;
            self.write(value & 15 | u32::from(more) << 4, 5);
            value >>= 4;
            if !more {
                return;
            }
        }
    }

    /// Fills the last word of 64 bits with zero bits and returns the number of words: what comes next begins a word and
    /// can be [`append`](Self::append)ed elsewhere without shifting.
    pub fn align(&mut self) -> usize {
        if self.pending_bits > 0 {
            self.bytes.extend_from_slice(&self.pending.to_le_bytes());
            self.pending = 0;
            self.pending_bits = 0;
        }
        self.bytes.len() / 8
    }

    /// Appends `bits` bits of `source` from its word `first` on. `source` must be [`align`](Self::align)ed after them.
    pub fn append(&mut self, source: &Self, first: usize, bits: usize) {
        debug_assert!((first * 8 + bits.div_ceil(64) * 8) <= source.bytes.len(), "the source holds the bits");
        let mut left = bits;
        for word in source.bytes[first * 8..].as_chunks::<8>().0 {
            let step = left.min(64);
            self.write_word(u64::from_le_bytes(*word), step as u32);
            left -= step;
            if left == 0 {
                return;
            }
        }
    }

    /// Fills the last byte with zero bits and returns the bytes. Afterwards the writer must be cleared.
    pub fn finish(&mut self) -> &[u8] {
        let bytes = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        self.pending = 0;
        self.pending_bits = 0;
        &self.bytes
    }

    /// As [`write`](Self::write) with 0 to 64 bits.
    pub(crate) fn write_word(&mut self, value: u64, bits: u32) {
        let value = if bits < 64 { value & ((1 << bits) - 1) } else { value };
        self.pending |= value << self.pending_bits;
        let total = self.pending_bits + bits;
        if total < 64 {
            self.pending_bits = total;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_le_bytes());
        // What did not fit. Nothing was pending when all 64 bits fitted: a shift by 64 would be one by 0.
        self.pending = value.checked_shr(64 - self.pending_bits).unwrap_or(0);
        self.pending_bits = total - 64;
    }
}

/// Bits that [`BitWriter::write_groups`] takes for `value`.
pub fn groups_bits(value: u32) -> usize {
    (32 - value.leading_zeros()).div_ceil(4).max(1) as usize * 5
}

/// Reads bits; every read is checked.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, end: bytes.len() * 8 }
    }

    /// The next `bits` (0 to 32) as a value.
    ///
    /// # Errors
    /// [`BitsError`] when fewer are left.
    pub fn read(&mut self, bits: u32) -> Result<u32, BitsError> {
        debug_assert!(bits <= 32, "at most 32 bits at a time");
        if self.end - self.position < bits as usize {
            return Err(BitsError);
        }
        let first = self.position / 8;
        let mut window = [0; 8];
        let available = (self.bytes.len() - first).min(8);
        window[..available].copy_from_slice(&self.bytes[first..first + available]);
        let value = (u64::from_le_bytes(window) >> (self.position % 8)) & ((1 << bits) - 1);
        self.position += bits as usize;
        Ok(value as u32)
    }

    /// The next bit.
    ///
    /// # Errors
    /// [`BitsError`] when none is left.
    pub fn read_bool(&mut self) -> Result<bool, BitsError> {
        Ok(self.read(1)? == 1)
    }

    /// A value written by [`BitWriter::write_groups`].
    ///
    /// # Errors
    /// [`BitsError`] when the bits end early or the value does not fit into 32 bits.
    pub fn read_groups(&mut self) -> Result<u32, BitsError> {
        let mut value = 0u32;
        for group in 0..8 {
            let bits = self.read(5)?;
            value |= (bits & 15) << (4 * group);
            if bits & 16 == 0 {
                return Ok(value);
            }
        }
        Err(BitsError)
    }

    /// Checks that only the zero bits that fill the last byte are left.
    ///
    /// # Errors
    /// [`BitsError`] otherwise.
    pub fn finish(mut self) -> Result<(), BitsError> {
        let left = self.end - self.position;
        if left >= 8 || self.read(left as u32)? != 0 {
            return Err(BitsError);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_lowest_bit_first() {
        let mut writer = BitWriter::new();
        writer.write(0b1, 1);
        writer.write(0b10, 2);
        writer.write(0xabcd, 16);
        assert_eq!(writer.finish(), [0b0110_1101, 0b0101_1110, 0b101]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((any::<u32>(), 0u32..=32), 0..200)) {
            let mut writer = BitWriter::new();
            for &(value, bits) in &values {
                writer.write(value, bits);
                writer.write_groups(value >> (32 - bits).min(31));
            }
            let bits = writer.bits();
            let bytes = writer.finish().to_vec();
            prop_assert_eq!(bytes.len(), bits.div_ceil(8));
            let mut source = BitWriter::new();
            source.write(1, 1);
            let first = source.align();
            prop_assert_eq!(first, 1);
            for &(value, bits) in &values {
                source.write(value, bits);
                source.write_groups(value >> (32 - bits).min(31));
            }
            source.align();
            let mut shifted = BitWriter::new();
            shifted.write(5, 3);
            shifted.append(&source, first, bits);
            prop_assert_eq!(shifted.bits(), 3 + bits);
            let shifted = shifted.finish().to_vec();
            for (bytes, skip) in [(&bytes, 0), (&shifted, 3)] {
                let mut reader = BitReader::new(bytes);
                reader.read(skip).unwrap();
                for &(value, bits) in &values {
                    prop_assert_eq!(u64::from(reader.read(bits).unwrap()), u64::from(value) & ((1 << bits) - 1));
                    prop_assert_eq!(reader.read_groups().unwrap(), value >> (32 - bits).min(31));
                }
                prop_assert_eq!(reader.finish(), Ok(()));
            }
        }

        #[test]
        fn the_length_of_groups_is_known(value in any::<u32>()) {
            let mut writer = BitWriter::new();
            writer.write_groups(value);
            prop_assert_eq!(writer.bits(), groups_bits(value));
        }

        #[test]
        fn hostile_bytes_end_in_an_error_not_in_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20), bits in 0u32..=32) {
            let mut reader = BitReader::new(&bytes);
            while reader.read(bits.max(1)).is_ok() && reader.read_groups().is_ok() {}
            let _ = reader.finish();
        }
    }
}
