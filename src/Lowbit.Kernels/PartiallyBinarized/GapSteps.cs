namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Steps of 112 bytes: for row r bytes 3 r to 3 r + 2 hold, lowest bit first, the first place plus one in 8 bits and the distances of up to
/// three more weights, each to the one before, in 5 bits; 0 stands where a row has none. From byte 48 on follow codes, four of each row.
/// A window is 255 columns from a multiple of 64 on. At a tenth of salient weights 89 % of the slots are filled: 16 bits a salient weight.
/// </summary>
internal readonly unsafe struct GapSteps : ISteps
{
    /// <summary>Bytes of a row's places.</summary>
    public const int PlaceBytes = 3;

    /// <summary>Where the codes begin.</summary>
    public const int Codes = PlaceBytes * RowTiles.Rows;

    /// <summary>Bits of the first place.</summary>
    public const int FirstBits = 8;

    /// <summary>Bits of a distance.</summary>
    public const int GapBits = 5;

    private const int Columns = 255, Alignment = 64;

    public static int Bytes => Codes + RowTiles.Unit;

    public static int Window(int column) => column / Alignment * Alignment;

    public static bool Holds(int slot, int place, int before) => place < Columns && (slot == 0 || place - before < 1 << GapBits);

    public static void Begin(byte* step)
    {
    }

    public static void Put(byte* step, int row, int slot, int place, int before, byte code)
    {
        // Before the first slot is −1, so that its field is the place plus one.
        int bits = place - before << (slot == 0 ? 0 : FirstBits + GapBits * (slot - 1));
        for (int i = 0; i < PlaceBytes; i++) step[PlaceBytes * row + i] |= (byte)(bits >> 8 * i);
        step[Codes + RowTiles.Slots * row + slot] = code;
    }
}
