"""The image and the compose file, as far as they can be tested where no container can be started."""
