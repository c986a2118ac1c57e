package layered;

public class Thing {}
