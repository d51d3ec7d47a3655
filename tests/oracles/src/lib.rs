//! Nothing of its own: the tests beside it compare our reading of images with that of qemu-img and of libraries by other authors.
