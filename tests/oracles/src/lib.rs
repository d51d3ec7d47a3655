//! Nothing of its own: the tests beside it compare our reading of qcow2 images with that of qcow2-rs and imago.
