//! The pictures of a run: what the filters look like, and how the losses went.
