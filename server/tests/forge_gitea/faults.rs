//! What the forge does when the server or the network fails.
