"""The gateway. Importing any part of it first keeps libraries from calling home, which most do unless told before."""

from gateway import silence

silence.keep()
