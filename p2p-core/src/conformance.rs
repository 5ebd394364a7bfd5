//! Conf
