namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>How the salient weights of a tile are written down.</summary>
internal enum StepForm
{
    /// <summary><see cref="PlaceSteps"/>.</summary>
    Places,

    /// <summary><see cref="GapSteps"/>.</summary>
    Gaps,
}

/// <summary>The bytes of a step of <see cref="RowTiles"/>. A place is a column of the step's window, counted from its first.</summary>
internal unsafe interface ISteps
{
    /// <summary>Bytes of a step.</summary>
    static abstract int Bytes { get; }

    /// <summary>Where the window begins that holds a column and as many as possible behind it.</summary>
    static abstract int Window(int column);

    /// <summary>Whether a row's weight can stand in a slot.</summary>
    /// <param name="slot">The slot, 0 to 3.</param>
    /// <param name="place">The weight's place.</param>
    /// <param name="before">That of the slot before, −1 for the first.</param>
    static abstract bool Holds(int slot, int place, int before);

    /// <summary>Writes a step without weights into cleared bytes.</summary>
    static abstract void Begin(byte* step);

    /// <summary>Adds a weight.</summary>
    /// <param name="step">The step.</param>
    /// <param name="row">Row in the tile.</param>
    /// <param name="slot">Slot of the row.</param>
    /// <param name="place">The weight's place.</param>
    /// <param name="before">That of the slot before, −1 for the first.</param>
    /// <param name="code">Its code.</param>
    static abstract void Put(byte* step, int row, int slot, int place, int before, byte code);
}
