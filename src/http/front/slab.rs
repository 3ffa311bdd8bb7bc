//! Things under small numbers that are used again.

/// A vector with holes.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Puts in what `make` makes of the number it will have.
    pub fn insert_with(&mut self, make: impl FnOnce(usize) -> T) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[number] = Some(make(number));
        number
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.places.get_mut(number)?.as_mut()
    }

    pub fn remove(&mut self, number: usize) -> Option<T> {
        let thing = self.places.get_mut(number)?.take()?;
        self.free.push(number);
        Some(thing)
    }

    /// All there are, by number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(number, place)| Some((number, place.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slab = Slab::new();
        assert_eq!(slab.insert_with(|_| 'a'), 0);
        assert_eq!(slab.insert_with(|number| char::from(b'a' + number as u8)), 1);
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.remove(0), None);
        assert_eq!((slab.len(), slab.get_mut(0)), (1, None));
        assert_eq!(slab.get_mut(7), None);
        assert_eq!(slab.insert_with(|_| 'c'), 0);
        assert_eq!(slab.iter_mut().map(|(n, c)| (n, *c)).collect::<Vec<_>>(), [(0, 'c'), (1, 'b')]);
    }
}
