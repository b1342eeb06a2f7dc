//! The last few samples of a measurement, and their percentiles.

/// A ring of the newest samples.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    samples: Vec<f64>,
    /// The samples in the order that finding a percentile leaves them in.
    scratch: Vec<f64>,
    size: usize,
    next: usize,
}

impl Window {
    /// An empty window that will hold the newest `size` samples.
    pub(crate) fn new(size: usize) -> Self {
        Self { samples: Vec::with_capacity(size), scratch: Vec::with_capacity(size), size, next: 0 }
    }

    /// Adds a sample; the oldest goes when the window is full.
    pub(crate) fn push(&mut self, sample: f64) {
        if self.samples.len() < self.size {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
        }
        self.next = (self.next + 1) % self.size;
    }

    /// Forgets all samples.
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
        self.next = 0;
    }

    /// The sample that `part` (0 to 1) of all samples do not exceed; none when there are no samples.
    pub(crate) fn percentile(&mut self, part: f64) -> Option<f64> {
        self.scratch.clone_from(&self.samples);
        let last = self.scratch.len().checked_sub(1)?;
        let (_, sample, _) = self.scratch.select_nth_unstable_by((last as f64 * part).round() as usize, f64::total_cmp);
        Some(*sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_newest_samples() {
        let mut window = Window::new(11);
        assert_eq!(window.percentile(0.5), None);
        for sample in 0..100u8 {
            window.push(f64::from(sample));
        }
        let percentiles = [0.0, 0.5, 1.0].map(|part| window.percentile(part));
        assert_eq!(percentiles, [Some(89.0), Some(94.0), Some(99.0)]);
        window.clear();
        assert_eq!(window.percentile(1.0), None);
    }
}
