"""The motion engines that come with the stage."""
