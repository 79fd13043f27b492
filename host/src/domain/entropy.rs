//! Randomness, as an argument.

/// Where random bytes come from. Only `cli` makes one; everything below it is handed one.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills `bytes` with unpredictable bytes, fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` unpredictable bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// An unpredictable number, uniform over all values.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}
